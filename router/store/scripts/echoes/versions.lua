-- Knows which versions of one record writes of ours have made, and which versions a subscription has handled; by the
-- server's clock. So an event whose record holds nothing but what the subscription has handled, and writes of ours on
-- top of that, is distinguished from one that holds a change of somebody else.
--
-- A version of ours leads to the one that its write was made on, if that is known: from there the next write leads on.
-- A version that was handled ends the way well; any other was made by somebody else, or nobody knows by whom.
--
-- KEYS[1]  hash: `w:VERSION` is `=VERSION` that a write of ours was made on, `+` where it made the record, or `?`;
--          `p:WRITE` a write under way, until when it may be (epoch milliseconds); `h:NAME VERSION` a version that the
--          subscription has handled; `a:NAME ATTEMPT` an attempt under way: until when, a blank, and its version
-- ARGV[1]  'begin', 'end', 'judge' or 'leave'
-- ARGV[2]  milliseconds for which all this is kept
-- begin:   ARGV[3] the write, ARGV[4] milliseconds that it may take
-- end:     ARGV[3] the write, ARGV[4] the version that it made, empty where that is not known, ARGV[5] what it was made
--          on, as above
-- judge:   ARGV[3] the subscription, ARGV[4] the attempt, ARGV[5] the version that was fetched, ARGV[6] milliseconds that
--          the attempt may take, ARGV[7] '1' where its event may be an echo
-- leave:   ARGV[3] the subscription, ARGV[4] the attempt, ARGV[5] the version that it has handled, empty for none
-- Reply    begin: 1 where a subscription has handled the record, or does, else 0. judge: 'echo'; 'wait', where a write or
--          an attempt under way will tell; or 'handle', and the attempt is under way. Else 1.
local MOST = 256 -- fields; beyond that all is forgotten, and what comes next is handled
local verb, name = ARGV[1], ARGV[3]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function set(field, value)
  if redis.call('HLEN', KEYS[1]) >= MOST then
    redis.call('DEL', KEYS[1])
  end
  redis.call('HSET', KEYS[1], field, value)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end

local known, under_way, writing, guarded = {}, {}, false, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local field, value = all[i], all[i + 1]
  local kind = string.sub(field, 1, 1)
  local till = tonumber(string.match(value, '^%d+') or 0)
  if (kind == 'p' or kind == 'a') and till <= now then
    redis.call('HDEL', KEYS[1], field)
  else
    known[field] = value
    writing = writing or kind == 'p'
    if kind == 'a' or kind == 'h' then
      guarded = 1
    end
    if kind == 'a' and string.sub(field, 1, #name + 3) == 'a:' .. name .. ' ' then
      under_way[string.match(value, '^%d+ (.*)$') or ''] = true
    end
  end
end

-- Returns 'echo', 'wait' or 'handle' for a version.
local function judged(version)
  if not known['w:' .. version] then
    return writing and 'wait' or 'handle'
  end
  local waits = false
  for _ = 1, MOST do
    if known['h:' .. name .. ' ' .. version] then
      return 'echo'
    end
    waits = waits or under_way[version]
    local on = known['w:' .. version]
    if on == '+' then
      return 'echo'
    end
    if not on or on == '?' then
      break
    end
    version = string.sub(on, 2)
  end
  return waits and 'wait' or 'handle'
end

if verb == 'begin' then
  set('p:' .. name, now + tonumber(ARGV[4]))
  return guarded
elseif verb == 'end' then
  redis.call('HDEL', KEYS[1], 'p:' .. name)
  if ARGV[4] ~= '' then
    set('w:' .. ARGV[4], ARGV[5])
  end
elseif verb == 'judge' then
  local found = ARGV[7] == '1' and judged(ARGV[5]) or 'handle'
  if found == 'handle' then
    set('a:' .. name .. ' ' .. ARGV[4], (now + tonumber(ARGV[6])) .. ' ' .. ARGV[5])
  end
  return found
else
  redis.call('HDEL', KEYS[1], 'a:' .. name .. ' ' .. ARGV[4])
  if ARGV[5] ~= '' then
    set('h:' .. name .. ' ' .. ARGV[5], '1')
  end
end
return 1
