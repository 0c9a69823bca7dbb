-- Takes a lease, renews it, or gives it up: one process of all does what it is for.
--
-- KEYS[1]  the lease
-- ARGV[1]  the process's own name for it
-- ARGV[2]  for how long it holds, milliseconds; 0 to give it up
-- Reply    1 where it is (or was) this process's, 2 where it was nobody's before, else 0
local holder, ttl = redis.call('GET', KEYS[1]), tonumber(ARGV[2])
if holder and holder ~= ARGV[1] then
  return 0
elseif ttl == 0 then
  return redis.call('DEL', KEYS[1])
end
redis.call('DEL', KEYS[1]) -- a server that is out of memory refuses a first write that may take some
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
return holder and 1 or 2
