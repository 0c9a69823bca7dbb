-- Gives an operator the first event of a key that no worker has, with what would be merged into it, so that it can be
-- ended by the steps that a worker takes: what the next delivery would stand for. A key that is held for an operator
-- stays so meanwhile.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the key
-- ARGV[2]  token of what is claimed now, which no other claim ever has
-- ARGV[3]  the ref of its first event, as it was seen
-- ARGV[4]  how long the hold lasts, milliseconds
-- Reply    { ref, body, what is merged into it, as claim.lua says };
--          0 where the first event is another one by now, -1 where the key is in the hands of a worker, -2 where keys are
--          made again: see keying.lua
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local key, token, seen, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if first_of(LINES, key) ~= seen then
  return 0
end
if redis.call('ZSCORE', RUNNING, key) then
  return -1
end
if redis.call('HGET', READ, 'keying') == '' then
  return -2
end
local member, company = ready_member(key, seen)
redis.call('ZREM', READY, member)
redis.call('ZREM', DUE, key)
redis.call('ZREM', QUIET, key)
redis.call('ZADD', RUNNING, stamp(now + lease / 2), key)
local ref, others = merged(key, seen, tonumber(redis.call('HGET', READ, 'most') or 0))
own(key, { token = token, company = company, ref = ref })
return { ref, redis.call('HGET', BODIES, ref), others }
