-- Removes the oldest events of a stream: those that every consumer group has finished and that are old enough.
--
-- What a group has not been given yet, or holds, stays with everything behind it. A stream without a group is trimmed
-- by age alone. Call it again until it removes nothing.
--
-- KEYS[1]  events stream
-- ARGV[1]  how long an event is kept, milliseconds
-- ARGV[2]  how many to remove at most in this call
-- Reply    how many were removed
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local time = redis.call('TIME')
local limit = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - tonumber(ARGV[1])
if #first == 0 or limit <= 0 then
  return 0
end

-- as text of one width: the numbers of an id have 64 bits, more than a number of Lua holds
local function order(id)
  local millis, number = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #millis) .. millis .. string.rep('0', 20 - #number) .. number
end

local oldest, keep = first[1][1], string.format('%.0f-0', limit)
local function keep_from(found)
  if #found > 0 and order(found[1][1]) < order(keep) then
    keep = found[1][1]
  end
end

if order(oldest) < order(keep) then
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for i = 1, #fields, 2 do
      group[fields[i]] = fields[i + 1]
    end
    -- from the oldest entry on: a pending one that somebody deleted holds nothing back once it is the oldest
    keep_from(redis.call('XPENDING', KEYS[1], group['name'], oldest, '+', 1))
    local delivered = group['last-delivered-id']
    if order(delivered) < order(keep) then
      keep_from(redis.call('XRANGE', KEYS[1], '(' .. delivered, '+', 'COUNT', 1))
    end
  end
end
if order(oldest) >= order(keep) then
  return 0
end

-- Whole nodes first, which needs no look at what is in them; then the few entries of the node that is kept in part.
local most = tonumber(ARGV[2])
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', keep, 'LIMIT', most)
if removed == 0 then
  local rest = redis.call('XRANGE', KEYS[1], '-', '(' .. keep, 'COUNT', most + 1)
  removed = redis.call('XTRIM', KEYS[1], 'MINID', rest[most + 1] and rest[most + 1][1] or keep)
end
return removed
