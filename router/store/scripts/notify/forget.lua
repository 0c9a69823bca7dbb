-- Removes what a notifier has in the store, if no process has had it in its settings for a while.
--
-- KEYS[1]  stream of notices, of which its group is
-- KEYS[2]  sorted set of the notifiers, by when a process last had them in its settings (epoch milliseconds)
-- KEYS[3]  its state
-- KEYS[4]  its lease
-- ARGV[1]  the notifier
-- ARGV[2]  its group
-- ARGV[3]  before when it was last wanted, epoch milliseconds; one that is not in the set is put there with ARGV[4]
-- ARGV[4]  the time now, epoch milliseconds
-- Reply    1 where it is removed, else 0
local wanted = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not wanted then
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
  return 0
elseif tonumber(wanted) >= tonumber(ARGV[3]) then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[2])
end
redis.call('UNLINK', KEYS[3], KEYS[4])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
