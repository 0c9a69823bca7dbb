-- Moves the position of a stream on, once the object that was planned is in the archive: from now on it may be trimmed.
--
-- KEYS[1]  hash of how far the stream is archived: see archive/next.lua
-- ARGV[1]  the position behind which the object begins
-- ARGV[2]  its last entry
-- ARGV[3]  how many events are in it
-- Reply    1, or 0 where another process has confirmed it, or it was not planned
redis.call('HDEL', KEYS[1], '') -- a server that is out of memory refuses a first write that may take some
local position, last = unpack(redis.call('HMGET', KEYS[1], 'position', 'last'))
if position ~= ARGV[1] or last ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'position', last)
redis.call('HINCRBY', KEYS[1], 'events', ARGV[3])
redis.call('HDEL', KEYS[1], 'first', 'last')
return 1
