-- Brings events into the lines, each once. Only the worker that has the lease of it may, and what was brought before is
-- known by the place of its entry: so a call whose reply was lost can be made again.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   token of the lease
-- ARGV[2]   how long it lasts from now on, milliseconds
-- ARGV[3]   quiet, milliseconds; 0 where nothing is merged
-- ARGV[4]   within, milliseconds
-- ARGV[5..] for each event, at most 100: the key of the stream or inbox it comes from; the id of its entry there, with
--           leading zeros; its key; its ref; its body
-- Reply     how many were new; -1 where another worker has the lease
--- lib/lines.lua
--- lib/line_clock.lua
local quiet, within = tonumber(ARGV[3]), tonumber(ARGV[4])

-- An event that comes before the first of its line: what is ready is known by its first event.
local function step_in_front(key)
  local from, to = span(key)
  local before = redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', 1, 1)[1]
  before = string.sub(before, #key + 2)
  if redis.call('ZREM', READY, company_of(before) .. '\0' .. before .. '\0' .. key) == 1 then
    queue(key, quiet, within)
  end
end

local function insert(key, ref, body)
  if redis.call('ZADD', LINES, 'NX', 0, key .. '\0' .. ref) == 0 then
    return 0
  end
  redis.call('HSET', BODIES, ref, body)
  redis.call('HINCRBY', LENGTH, string.match(ref, '/(.*)'), 1)
  local waits = redis.call('ZSCORE', QUIET, key)
  if waits then
    redis.call('ZREM', QUIET, key)
    queue(key, quiet, within, tonumber(waits))
  elseif number_of(LINES, key) == 1 then
    queue(key, quiet, within)
  elseif first_of(LINES, key) == ref then
    step_in_front(key)
  end
  return 1
end

if redis.call('GET', MOVER) ~= ARGV[1] then
  return -1
end
redis.call('PEXPIRE', MOVER, ARGV[2])
local read, new = {}, 0
for i = 5, #ARGV, 5 do
  local source, place = ARGV[i], ARGV[i + 1]
  read[source] = read[source] or redis.call('HGET', READ, source) or ''
  if place > read[source] then
    new = new + insert(ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
    read[source] = place
    redis.call('HSET', READ, source, place)
  end
end
wake()
return new
