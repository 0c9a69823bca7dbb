-- Removes a consumer from a group, unless something is still pending with it: that would vanish with the consumer.
--
-- KEYS[1]  events stream or inbox
-- ARGV[1]  consumer group
-- ARGV[2]  consumer
-- Reply    how many deliveries are pending with it: 0 means it is removed
local pending = #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if pending == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return pending
