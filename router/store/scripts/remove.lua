-- Removes all that a subscription has on one stream: its group, its inbox, its scheduled retries and its dead letters.
-- Does nothing where there are dead letters and they are to be kept.
--
-- KEYS[1]  events stream
-- KEYS[2]  inbox
-- KEYS[3]  sorted set of scheduled retries
-- KEYS[4]  stream of their bodies
-- KEYS[5]  dead letters
-- KEYS[6]  hash of the dead letters that were imported
-- KEYS[7..] hashes of the events that were replayed
-- ARGV[1]  consumer group
-- ARGV[2]  '1' to remove its dead letters too
-- Reply    how many dead letters went with it; -1 where nothing was removed because of them
local dead = redis.call('XLEN', KEYS[5])
if dead > 0 and ARGV[2] ~= '1' then
  return -1
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
end
-- in the background: however much they hold, it does not hold up the server
redis.call('UNLINK', unpack(KEYS, 2))
return dead
