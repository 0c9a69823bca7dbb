-- Counts what is in the lines, by stream. What runs and what is due later is looked at up to a bound: what is beyond
-- counts as waiting. Where all events are of one stream, what is due later is counted in full.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the bound
-- Reply    for each stream { stream, events, those in hand, those due later, when the oldest in hand or ready came in,
--          epoch milliseconds, or 0 }; of what is merged into one in hand, none counts as in hand
--- lib/lines.lua
local bound = tonumber(ARGV[1])
local rows, by_stream = {}, {}
local lengths = redis.call('HGETALL', LENGTH)
for i = 1, #lengths, 2 do
  local row = { lengths[i], tonumber(lengths[i + 1]), 0, 0, 0 }
  rows[#rows + 1], by_stream[lengths[i]] = row, row
end

local function row_of(ref)
  return ref and by_stream[string.match(ref, '/(.*)') or '']
end

local function note_age(ref)
  local row, came = row_of(ref), ref and millis_of(ref)
  if row and came and (row[5] == 0 or came < row[5]) then
    row[5] = came
  end
end

for _, key in ipairs(redis.call('ZRANGE', RUNNING, 0, bound - 1)) do
  local owner = owner_of(key)
  local row = owner and row_of(owner.ref)
  if row then
    row[3] = row[3] + 1
    note_age(first_of(LINES, key))
  end
end
if #rows == 1 then
  rows[1][4] = redis.call('ZCARD', DUE)
else
  for _, key in ipairs(redis.call('ZRANGE', DUE, 0, bound - 1)) do
    local row = row_of(first_of(LINES, key))
    if row then
      row[4] = row[4] + 1
    end
  end
end
for _, company in ipairs(redis.call('ZRANGE', TURNS, 0, bound - 1)) do
  local ready = first_of(READY, company)
  note_age(ready and string.match(ready, '^%d+ ([^%z]*)'))
end
return rows
