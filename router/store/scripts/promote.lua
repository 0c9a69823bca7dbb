-- Moves scheduled retries that are due into the inbox, oldest first, as long as the inbox has room. A member that is no
-- id of a body, which only a hand can have put there, is dropped: it must not hold up the others.
--
-- A retry is due when the whole millisecond of its score has come: what is behind the point only orders those of one
-- millisecond (move.lua).
--
-- KEYS[1]  sorted set of scheduled retries
-- KEYS[2]  stream of their bodies
-- KEYS[3]  inbox
-- ARGV[1]  how many entries the inbox may hold
-- ARGV[2]  how many to move at most in this call (<= 100)
-- Reply    { moved, milliseconds until to ask again: when the next is due, a day at most;
--            0: now; -1: nothing is scheduled; -2: the inbox is full;
--            1 where bodies were parked in the future, so that reschedule.lua is needed, else nothing }
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  return { 0, -1 }
end
--- lib/fields.lua
--- lib/bounded.lua
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('XLEN', KEYS[2]) -- of another type, it is an error here and not one of each member
local room = math.min(tonumber(ARGV[1]) - redis.call('XLEN', KEYS[3]), tonumber(ARGV[2]))
local moved = 0
if room > 0 then
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now + 1), 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    local body = redis.pcall('XRANGE', KEYS[2], id, id)
    if #body == 1 and body[1][1] == id then
      local fields = body[1][2]
      if fields[1] == DELAY then
        table.remove(fields, 1)
        table.remove(fields, 1)
      end
      redis.call('XADD', KEYS[3], '*', unpack(bounded(fields)))
      redis.call('XDEL', KEYS[2], id)
      moved = moved + 1
    end
    redis.call('ZREM', KEYS[1], id)
  end
end
-- a second of it is nothing: a server numbers what comes within its last millisecond on from there
local ahead = #redis.call('XRANGE', KEYS[2], string.format('%.0f', now + 1000), '+', 'COUNT', 1)
local later = ahead > 0 and ahead or nil
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #first == 0 then
  return { moved, -1, later }
end
-- a day at most: an integer reply cannot hold every score
local wait = math.min(math.max(0, math.floor(tonumber(first[2])) - now), 86400000)
if wait == 0 and room <= moved and redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[1]) then
  return { moved, -2, later }
end
return { moved, wait, later }
