-- Brings events into the lines, each once. Only the worker that has the lease of it may, and what was brought before is
-- known by the place of its entry: so a call whose reply was lost can be made again. Nothing may be missing in between:
-- a server that took over may lack what the one before had answered.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   token of the lease
-- ARGV[2]   how long it lasts from now on, milliseconds
-- ARGV[3]   quiet, milliseconds; 0 where nothing is merged
-- ARGV[4]   within, milliseconds
-- ARGV[5]   of how many sources it follows what the worker has brought before
-- ARGV[6..] for each of those: its key; the place of the last entry that was brought; then
--           for each event, at most 100: the key of the stream or inbox it comes from; the id of its entry there, with
--           leading zeros; its key; its ref; its body. One without a ref is not added: it was skipped
-- Reply     how many were new; -1 where another worker has the lease; -2 where what was brought before is not known
--- lib/lines.lua
--- lib/line_clock.lua
local quiet, within = tonumber(ARGV[3]), tonumber(ARGV[4])
local read, line_of, keys = {}, {}, {}
local members, refs, bodies = {}, {}, {}

-- Takes note of what its source has not brought before.
local function take(source, position, key, ref, body)
  read[source] = read[source] or redis.call('HGET', READ, source) or ''
  if position > read[source] then
    read[source] = position
    if ref == '' then
      return
    end
    members[#members + 1] = key .. '\0' .. ref
    keys[#keys + 1], refs[#refs + 1], bodies[#bodies + 1] = key, ref, body
  end
end

-- Writes down what is in no line yet, and returns how many that are; `line_of`: by key, bodies by ref and how many.
local function write_down()
  local lines, contents, came, new = {}, {}, {}, 0
  for i, score in ipairs(call_many('ZMSCORE', LINES, members)) do
    if not score then
      local key, ref, stream = keys[i], refs[i], string.match(refs[i], '/(.*)')
      new = new + 1
      lines[2 * new - 1], lines[2 * new] = 0, members[i]
      contents[2 * new - 1], contents[2 * new] = ref, bodies[i]
      came[stream] = (came[stream] or 0) + 1
      line_of[key] = line_of[key] or { number = 0 }
      line_of[key].number, line_of[key][ref] = line_of[key].number + 1, bodies[i]
    end
  end
  call_many('ZADD', LINES, lines)
  call_many('HSET', BODIES, contents)
  for source, position in pairs(read) do
    redis.call('HSET', READ, source, position)
    if has_some(TRIALS) then
      redis.call('HDEL', TRIALS, source)
    end
  end
  for stream, number in pairs(came) do
    redis.call('HINCRBY', LENGTH, stream, number)
  end
  return new
end

-- Puts a key for which events have come where it belongs. Where they stand in front, another event is its first now.
local function place(key, brought)
  local waits = has_some(QUIET) and redis.call('ZSCORE', QUIET, key)
  if waits then
    redis.call('ZREM', QUIET, key)
    return queue(key, quiet, within, tonumber(waits))
  end
  local from, to = span(key)
  local first = redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', 0, brought.number + 1)
  local head, before = string.sub(first[1], #key + 2), nil
  for i = 1, #first do
    before = string.sub(first[i], #key + 2)
    if not brought[before] then
      break
    end
    before = nil
  end
  if brought[head] and (not before or redis.call('ZREM', READY, (ready_member(key, before))) == 1) then
    queue(key, quiet, within, nil, head, string.match(brought[head], '^[^%z]*'))
  end
end

if redis.call('GET', MOVER) ~= ARGV[1] then
  return -1
end
redis.call('PEXPIRE', MOVER, ARGV[2])
local first = 6 + 2 * tonumber(ARGV[5])
for i = 6, first - 1, 2 do
  if (redis.call('HGET', READ, ARGV[i]) or '') < ARGV[i + 1] then
    return -2
  end
end
for i = first, #ARGV, 5 do
  take(unpack(ARGV, i, i + 4))
end
local new = write_down()
for key, brought in pairs(line_of) do
  place(key, brought)
end
wake()
return new
