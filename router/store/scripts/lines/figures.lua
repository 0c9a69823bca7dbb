-- Counts what is in the lines, by stream. What runs and what is due later is looked at up to a bound: what is beyond
-- counts as waiting. Where all events are of one stream, what is due later is counted in full.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the bound
-- Reply    for each stream { stream, events, those in hand, those due later, when the oldest in hand or ready came in,
--          epoch milliseconds, or 0, and when the oldest of all that wait or are in hand did }; of what is merged into one
--          in hand, none counts as in hand. The oldest is that of a key whose first event that waits is of this stream
--- lib/lines.lua
local bound = tonumber(ARGV[1])
local rows, by_stream = {}, {}
local lengths = redis.call('HGETALL', LENGTH)
for i = 1, #lengths, 2 do
  local row = { lengths[i], tonumber(lengths[i + 1]), 0, 0, 0, 0 }
  rows[#rows + 1], by_stream[lengths[i]] = row, row
end

local function row_of(ref)
  return ref and by_stream[string.match(ref, '/(.*)') or '']
end

local function note(row, place, at)
  if row[place] == 0 or at < row[place] then
    row[place] = at
  end
end

-- Notes how old the oldest event of a key is, behind the first `skipped`; by the stream of that one.
local function note_age(key, is_ready, skipped)
  local from, to = span(key)
  local first = redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', skipped or 0, 1)[1]
  local row, at = row_of(first and string.sub(first, #key + 2)), oldest_of(key, skipped)
  if row and at then
    note(row, 6, at)
    if is_ready then
      note(row, 5, at)
    end
  end
end

for _, key in ipairs(redis.call('ZRANGE', RUNNING, 0, bound - 1)) do
  local owner = owner_of(key)
  local row = owner and row_of(owner.ref)
  if row then
    row[3] = row[3] + 1
    note_age(key, true)
  end
end
if #rows == 1 then
  rows[1][4] = redis.call('ZCARD', DUE)
end
for _, key in ipairs(redis.call('ZRANGE', DUE, 0, bound - 1)) do
  local row = row_of(first_of(LINES, key))
  if row and #rows > 1 then
    row[4] = row[4] + 1
  end
  note_age(key, false, 1)
end
for _, set in ipairs({ QUIET, HELD }) do
  for _, key in ipairs(redis.call('ZRANGE', set, 0, bound - 1)) do
    note_age(key, false)
  end
end
each_first(READY, '-', bound, function(company, first)
  note_age(string.match(first, '^%d+ [^%z]*%z(.*)$') or '', not redis.call('ZSCORE', STOPPED, company))
end)
return rows
