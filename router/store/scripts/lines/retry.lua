-- Has an event tried again later; its key waits for it. What was merged into it stays where it is.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  its key
-- ARGV[2]  the token of the claim
-- ARGV[3]  its ref
-- ARGV[4]  its body, with this attempt
-- ARGV[5]  in how many milliseconds
-- Reply    1, or 0 where it was not with this claim any more
--- lib/lines.lua
--- lib/line_clock.lua
local key = ARGV[1]
local owner = owned(key, ARGV[2])
if not owner then
  return 0
end
redis.call('HSET', BODIES, ARGV[3], ARGV[4])
let_go(key, owner)
redis.call('ZADD', DUE, stamp(now + tonumber(ARGV[5])), key)
has_woken = true -- for those who wait to know how long
wake()
return 1
