-- Mends what the lines lack where somebody deleted one of their keys manually, or the server did: each key that has
-- events is put where it may be claimed, and what is known of those that run fits together again.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  token of the lease of who brings events
-- ARGV[2]  how long a hold lasts, milliseconds
-- ARGV[3]  how many of one company may run at once; 0 for any number
-- ARGV[4]  the key to begin behind; '' for the first
-- ARGV[5]  how many keys to look at
-- Reply    { the key to go on behind, or ''; how much was mended; how many more bodies than events in lines there are };
--          nothing where another worker has the lease
--- lib/lines.lua
if redis.call('GET', MOVER) ~= ARGV[1] then
  return false
end
if redis.call('EXISTS', LINES, BODIES, READY, OWNERS, BUSY, LENGTH) == 0 then
  return { '', 0, 0 }
end
--- lib/frees.lua
--- lib/line_clock.lua
local lease, limit, after, count = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local MANY = 10000
local mended = 0

local function mend_holds()
  local owners = redis.call('HGETALL', OWNERS)
  for i = 1, #owners, 2 do
    local key = owners[i]
    if not redis.call('ZSCORE', RUNNING, key) then
      redis.call('ZADD', RUNNING, stamp(now + lease / 2), key)
      mended = mended + 1
    end
    if limit > 0 then
      mended = mended + redis.call('ZADD', BUSY, 0, owner_of(key).company .. '\0' .. key)
    end
  end
  for _, member in ipairs(redis.call('ZRANGE', BUSY, 0, -1)) do
    if not redis.call('ZSCORE', RUNNING, string.match(member, '^[^%z]*%z(.*)$') or '') then
      mended = mended + redis.call('ZREM', BUSY, member)
    end
  end
end

local function may_have_a_turn(company)
  return not redis.call('ZSCORE', STOPPED, company) and (limit == 0 or number_of(BUSY, company) < limit)
end

local function mend_turn(company)
  if not redis.call('ZSCORE', TURNS, company) and may_have_a_turn(company) then
    join(company)
    mended = mended + 1
  end
end

local function mend_lengths()
  local known, lengths, from = 0, {}, '-'
  local found = redis.call('HGETALL', LENGTH)
  for i = 2, #found, 2 do
    known = known + tonumber(found[i])
  end
  if known == redis.call('ZCARD', LINES) then
    return
  end
  repeat
    local members = redis.call('ZRANGEBYLEX', LINES, from, '+', 'LIMIT', 0, MANY)
    for _, member in ipairs(members) do
      local stream = string.match(member, '^[^%z]*%z[^/]*/(.*)$') or ''
      lengths[stream] = (lengths[stream] or 0) + 1
    end
    from = '(' .. (members[#members] or '')
  until #members < MANY
  redis.call('DEL', LENGTH)
  for stream, number in pairs(lengths) do
    redis.call('HSET', LENGTH, stream, number)
  end
  mended = mended + 1
end

-- Where the body of the first event is gone, whose its key is cannot be known, and so not by which member it is ready.
local known_ready
local function is_ready(key, head)
  if redis.call('HGET', BODIES, head) then
    return redis.call('ZSCORE', READY, (ready_member(key, head)))
  end
  if not known_ready then
    known_ready = {}
    for _, member in ipairs(redis.call('ZRANGE', READY, 0, -1)) do
      known_ready[string.match(member, '^[^%z]*%z%d+ [^%z]*%z(.*)$') or ''] = true
    end
  end
  return known_ready[key]
end

local function is_somewhere(key, head)
  for _, set in ipairs({ RUNNING, DUE, QUIET, HELD }) do
    if redis.call('ZSCORE', set, key) then
      return true
    end
  end
  return is_ready(key, head)
end

local function mend_key(key, head)
  if not is_somewhere(key, head) then
    queue(key, 0, 0)
    mended = mended + 1
  end
end

if after == '' then
  mend_holds()
  each_first(READY, '-', MANY, mend_turn)
  mend_lengths()
end
local last = each_first(LINES, after == '' and '-' or '(' .. after .. '\1', count, mend_key)
wake()
return { last, mended, redis.call('HLEN', BODIES) - redis.call('ZCARD', LINES) }
