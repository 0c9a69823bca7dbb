-- Has no more events of a company handled; those that run now finish.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the company
-- ARGV[2]  for how many milliseconds; 0 until it is resumed
-- ARGV[3]  who paused it
-- ARGV[4]  why
-- Reply    { since when, until when }, epoch milliseconds; the second is 'inf' until it is resumed
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local until_when = ARGV[2] == '0' and 'inf' or stamp(now + tonumber(ARGV[2]))
redis.call('ZADD', STOPPED, until_when, ARGV[1])
redis.call('HSET', PAUSES, ARGV[1], stamp(now) .. '\0' .. ARGV[3] .. '\0' .. ARGV[4])
has_woken = true -- for those who wait to know how long
wake()
return { stamp(now), until_when }
