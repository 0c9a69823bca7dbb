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

-- What is ready is known by its first event, and another one is that now.
local function step_in_front(key, ref, before, company)
  if redis.call('ZREM', READY, (ready_member(key, before))) == 1 then
    queue(key, quiet, within, nil, ref, company)
  end
end

-- Puts the key of an event that has just come into its line where it belongs.
local function place(key, ref, body)
  local waits = has_some(QUIET) and redis.call('ZSCORE', QUIET, key)
  if waits then
    redis.call('ZREM', QUIET, key)
    return queue(key, quiet, within, tonumber(waits))
  end
  local from, to = span(key)
  local first = redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', 0, 2)
  if first[1] == key .. '\0' .. ref then
    local company = string.match(body, '^[^%z]*')
    if first[2] then
      step_in_front(key, ref, string.sub(first[2], #key + 2), company)
    else
      queue(key, quiet, within, nil, ref, company)
    end
  end
end

if redis.call('GET', MOVER) ~= ARGV[1] then
  return -1
end
redis.call('PEXPIRE', MOVER, ARGV[2])
local read, came, new = {}, {}, 0
for i = 5, #ARGV, 5 do
  local source, position, key, ref, body = unpack(ARGV, i, i + 4)
  read[source] = read[source] or redis.call('HGET', READ, source) or ''
  if position > read[source] then
    read[source] = position
    if redis.call('ZADD', LINES, 'NX', 0, key .. '\0' .. ref) == 1 then
      redis.call('HSET', BODIES, ref, body)
      local stream = string.match(ref, '/(.*)')
      came[stream] = (came[stream] or 0) + 1
      place(key, ref, body)
      new = new + 1
    end
  end
end
for source, position in pairs(read) do
  redis.call('HSET', READ, source, position)
  if has_some(TRIALS) then
    redis.call('HDEL', TRIALS, source)
  end
end
for stream, number in pairs(came) do
  redis.call('HINCRBY', LENGTH, stream, number)
end
wake()
return new
