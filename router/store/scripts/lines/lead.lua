-- Takes or renews the lease of the one worker that brings events into the lines. Who takes it writes down how many events
-- one delivery may stand for, and how many of one company may run at once, which operators have to know.
--
-- KEYS[1]  string: the token of who has the lease
-- KEYS[2]  hash: what was brought from each source
-- ARGV[1]  token of who wants it
-- ARGV[2]  how long it lasts, milliseconds
-- ARGV[3]  how many one delivery may stand for at most; 0 where nothing is merged
-- ARGV[4]  how many of one company may run at once; 0 for any number
-- Reply    { 1 if it has it now, else 0; milliseconds until it ends; and, if it did not have it before, KEYS[2] }
local leader = redis.call('GET', KEYS[1])
if leader == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return { 1, tonumber(ARGV[2]) }
end
if leader then
  return { 0, redis.call('PTTL', KEYS[1]) }
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for name, number in pairs({ most = ARGV[3], limit = ARGV[4] }) do
  if number == '0' then
    redis.call('HDEL', KEYS[2], name)
  else
    redis.call('HSET', KEYS[2], name, number)
  end
end
return { 1, tonumber(ARGV[2]), redis.call('HGETALL', KEYS[2]) }
