-- Lists the consumers that live: those that gave a heartbeat within the lease, by the server's clock.
--
-- A beat from the future counts as one of now, see beat.lua; it is written down as such, where the caller may write:
-- else a consumer that is dead would live on here, as long as no other one beats.
--
-- KEYS[1]  sorted set of consumers by last heartbeat
-- ARGV[1]  lease, milliseconds
-- Reply    their names, the longest silent first
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stamp = string.format('%.0f', now)
for _, consumer in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. stamp, '+inf', 'LIMIT', 0, 1000)) do
  redis.pcall('ZADD', KEYS[1], stamp, consumer)
end
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', now - tonumber(ARGV[1])), '+inf')
