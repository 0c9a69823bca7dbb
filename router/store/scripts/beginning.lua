-- Says which entry a read of a span begins with, and brings none of what is in it.
--
-- KEYS[1]  stream
-- ARGV[1]  the command that reads, XRANGE or XREVRANGE
-- ARGV[2]  where it begins, as the command spells it
-- ARGV[3]  where it ends
-- Reply    id of the first entry that it would bring, or an empty string where there is none
local found = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'COUNT', 1)
return found[1] and found[1][1] or ''
