-- Records that a suspect delivery is being started, before its handler runs: its delivery counter becomes 2.
--
-- KEYS[1]  inbox
-- ARGV[1]  consumer group
-- ARGV[2]  consumer
-- ARGV[3]  entry id
-- Reply    1, or 0 where the delivery is not this consumer's any more
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #pending == 0 or pending[1][2] ~= ARGV[2] then
  return 0
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', 2, 'JUSTID')
return 1
