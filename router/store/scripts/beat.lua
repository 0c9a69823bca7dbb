-- Heartbeat of a consumer: says it lives, and asks who died.
--
-- A consumer found dead is written down as alive once more, so that only the one who asked recovers its work; if that
-- one dies too before it has removed the dead consumer, the next to ask a lease later gets it again.
--
-- A beat from the future counts as one of now: the server's clock was ahead and was set back, or the server has taken
-- over from one whose clock was. Its consumer would live on for as long as it was ahead.
--
-- Who could not reach the store for a while must not judge others: they could not reach it either.
--
-- KEYS[1]  sorted set of consumers by last heartbeat
-- ARGV[1]  consumer
-- ARGV[2]  lease, milliseconds: who was silent for longer is dead
-- ARGV[3]  '1' to ask who died
-- Reply    the consumers found dead, at most 16; none if not asked
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stamp = string.format('%.0f', now)
redis.call('ZADD', KEYS[1], stamp, ARGV[1])
local MANY, MOST = 1000, 16
local known = redis.call('ZRANGE', KEYS[1], 0, MANY - 1, 'WITHSCORES')
if #known == 2 * MANY then -- else those from the future are among them
  for _, part in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. stamp, '+inf', 'WITHSCORES', 'LIMIT', 0, MANY)) do
    known[#known + 1] = part
  end
end
local dead, limit = {}, now - tonumber(ARGV[2])
for i = 1, #known, 2 do
  local consumer, at = known[i], tonumber(known[i + 1])
  local is_dead = ARGV[3] == '1' and at < limit and #dead < MOST
  if is_dead then
    dead[#dead + 1] = consumer
  end
  if is_dead or at > now then
    redis.call('ZADD', KEYS[1], stamp, consumer)
  end
end
return dead
