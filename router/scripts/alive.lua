-- Lists the consumers that live: those that gave a heartbeat within the lease, by the server's clock.
--
-- KEYS[1]  sorted set of consumers by last heartbeat
-- ARGV[1]  lease, milliseconds
-- Reply    their names, the longest silent first
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', now - tonumber(ARGV[1])), '+inf')
