-- Adds an event that comes from the lines of a keyed subscription, which another slot has, to its dead letters or to an
-- inbox: once, however often this is asked, since who asked may not have got the reply, or may have died before it took
-- the event out of its line.
--
-- KEYS[1]  dead letters, or inbox
-- KEYS[2]  marker of the event; its value is the id of the entry
-- ARGV[1]  how long the marker is kept, milliseconds
-- ARGV[2..] fields and values
-- Reply    the id of the entry
local id = redis.call('GET', KEYS[2])
if not id then
  id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
  redis.call('SET', KEYS[2], id, 'PX', ARGV[1])
end
return id
