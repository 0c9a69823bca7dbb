-- Writes down which entries the next object of a stream holds, before it is written: a process that writes it again, after
-- a crash, gives it the same name.
--
-- KEYS[1]  hash of how far the stream is archived: see archive/next.lua
-- ARGV[1]  the position behind which the object begins
-- ARGV[2]  its first entry
-- ARGV[3]  its last entry
-- Reply    1, or 0 where the stream is archived further by now or another object is planned
redis.call('HDEL', KEYS[1], '') -- a server that is out of memory refuses a first write that may take some
local position, first, last = unpack(redis.call('HMGET', KEYS[1], 'position', 'first', 'last'))
if position ~= ARGV[1] then
  return 0
elseif first then
  return first == ARGV[2] and last == ARGV[3] and 1 or 0
end
redis.call('HSET', KEYS[1], 'first', ARGV[2], 'last', ARGV[3])
return 1
