-- Writes down what the holder of a lease has found, as long as it has it: of two that overlap the later one has the word.
--
-- KEYS[1]  the lease
-- KEYS[2]  a hash that only its holder writes
-- ARGV[1]  the name of who writes
-- ARGV[2]  how many arguments are fields and values to set
-- ARGV[3..]  those, then the fields to remove
-- Reply    1, or 0 where the lease is another's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local number = tonumber(ARGV[2])
if number > 0 then
  redis.call('HSET', KEYS[2], unpack(ARGV, 3, 2 + number))
end
if #ARGV > 2 + number then
  redis.call('HDEL', KEYS[2], unpack(ARGV, 3 + number, #ARGV))
end
return 1
