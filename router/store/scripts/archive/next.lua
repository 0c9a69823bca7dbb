-- Says which events of a stream are to be archived next: finished ones of one day (UTC, by their entry ids), once that day
-- is over, or once the oldest of them is old enough to be trimmed; and from now on nothing else is trimmed.
-- Where an object was planned and not yet confirmed it is that one again, so that it gets the same name.
--
-- KEYS[1]  events stream
-- KEYS[2]  hash of how far it is archived: `position` is the last entry that is; `first` and `last` those of the object
--          that is planned; `events` how many were archived
-- ARGV[1]  how long an event is kept, milliseconds
-- Reply    the position; the first and the last entry to archive, empty where there is none; 1 where that is planned
--          already; for how long they should have been archived, milliseconds
--- lib/finished.lua
local DAY = 86400000
redis.call('HDEL', KEYS[2], '') -- a server that is out of memory refuses a first write that may take some
local position, first, last = unpack(redis.call('HMGET', KEYS[2], 'position', 'first', 'last'))
if not position then
  position = '0-0'
  redis.call('HSET', KEYS[2], 'position', position)
end

local found = redis.call('XRANGE', KEYS[1], '(' .. position, '+', 'COUNT', 1)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local oldest = first or (found[1] and found[1][1])
if not oldest then
  return { position, '', '', 0, 0 }
end
local millis = tonumber(string.match(oldest, '^%d+'))
local over = (math.floor(millis / DAY) + 1) * DAY
local due = math.min(over, millis + tonumber(ARGV[1]))
local overdue = math.max(0, now - due)
if first then
  return { position, first, last, 1, overdue }
end

local keep = unfinished(KEYS[1], oldest, string.format('%.0f-0', over))
if now < due or order(oldest) >= order(keep) then
  return { position, '', '', 0, 0 }
end
return { position, oldest, redis.call('XREVRANGE', KEYS[1], '(' .. keep, oldest, 'COUNT', 1)[1][1], 0, overdue }
