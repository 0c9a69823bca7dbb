-- Gives a field of a hash another value, where it still has the one that was read: what was written since then stays.
--
-- KEYS[1]  hash
-- ARGV[1]  field
-- ARGV[2]  the value that was read
-- ARGV[3]  the value that it gets
-- Reply    1; 0 where the field is gone, -1 where it has another value by now
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now then
  return 0
elseif now ~= ARGV[2] then
  return -1
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
