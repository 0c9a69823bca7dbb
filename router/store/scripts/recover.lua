-- Moves what a dead consumer had in its hands into the inbox, where the live ones find it.
--
-- A delivery that was handed out and never finished counts as a crash. One that was handed out as a suspect (it had
-- crashed before) counts only if it was really started: starting a suspect sets its delivery counter to 2, see mark.lua.
-- Everything else a worker held when it died would otherwise be blamed again each time the one poison event kills.
--
-- KEYS[1]  stream the deliveries are pending in
-- KEYS[2]  inbox
-- ARGV[1]  consumer group
-- ARGV[2]  the dead consumer
-- ARGV[3]  only entries idle for at least so long, milliseconds; 0 for all
-- ARGV[4]  how many to move at most (<= 100)
-- ARGV[5]  '1' when KEYS[1] is the inbox itself: its entry is replaced
-- ARGV[6]  line for the history of each
-- Reply    { moved, entries that were pending but deleted by somebody, entries left }
--- lib/fields.lua
--- lib/bounded.lua
local group, consumer, own = ARGV[1], ARGV[2], ARGV[5] == '1'
local function held(count)
  if ARGV[3] == '0' then
    return redis.call('XPENDING', KEYS[1], group, '-', '+', count, consumer)
  end
  return redis.call('XPENDING', KEYS[1], group, 'IDLE', ARGV[3], '-', '+', count, consumer)
end
if ARGV[3] ~= '0' then
  -- What was handed out in the future, by the server's clock, is idle for no time until that has come: from now on.
  for _, entry in ipairs(redis.call('XPENDING', KEYS[1], group, '-', '+', 1000, consumer)) do
    if entry[3] == 0 then
      redis.call('XCLAIM', KEYS[1], group, consumer, 0, entry[1], 'JUSTID')
    end
  end
end
local pending = held(ARGV[4])
local moved, gone = 0, 0
for _, entry in ipairs(pending) do
  local id, deliveries = entry[1], entry[4]
  local found = redis.call('XRANGE', KEYS[1], id, id)
  if #found == 1 then
    local fields, at = bounded(found[1][2]), {}
    for i = 1, #fields, 2 do
      at[fields[i]] = i + 1
    end
    local crashes = at[CRASHES] and fields[at[CRASHES]] or ''
    local suspect = #crashes < 16 and string.match(crashes, '^%d+$') and tonumber(crashes) or 0
    if suspect == 0 or deliveries > 1 then
      if not at[CRASHES] then
        fields[#fields + 1] = CRASHES
        fields[#fields + 1] = '0'
        at[CRASHES] = #fields
      end
      if not at[HISTORY] then
        fields[#fields + 1] = HISTORY
        fields[#fields + 1] = ''
        at[HISTORY] = #fields
      end
      fields[at[CRASHES]] = string.format('%d', suspect + 1)
      local history = fields[at[HISTORY]]
      fields[at[HISTORY]] = (history == '' and '' or history .. '\n') .. ARGV[6]
    end
    if not own and not at[ORDER] then
      fields[#fields + 1] = ORDER
      fields[#fields + 1] = id
    end
    redis.call('XADD', KEYS[2], '*', unpack(fields))
    moved = moved + 1
  else
    gone = gone + 1
  end
  redis.call('XACK', KEYS[1], group, id)
  if own then redis.call('XDEL', KEYS[1], id) end
end
local left = 0
if #pending == tonumber(ARGV[4]) then
  left = #held(1)
end
return { moved, gone, left }
