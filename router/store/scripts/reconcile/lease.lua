-- Takes the lease of a sweep, renews it, or gives it up: one process of all sweeps the records of a company.
--
-- KEYS[1]  the lease
-- ARGV[1]  the sweep's own name
-- ARGV[2]  for how long it holds, milliseconds; 0 to give it up
-- Reply    1 where it is (or was) this sweep's, else 0
local holder, ttl = redis.call('GET', KEYS[1]), tonumber(ARGV[2])
if ttl == 0 then
  return holder == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
elseif holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
return 1
