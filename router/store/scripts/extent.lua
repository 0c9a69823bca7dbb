-- Says where a span of a stream ends at this moment, and how many entries the whole stream has.
--
-- KEYS[1]  stream
-- ARGV[1]  first entry of the span, as XRANGE spells it
-- ARGV[2]  last entry of it
-- Reply    { id of the last entry in the span, or an empty string where it holds none; entries of the stream }
local last = redis.call('XREVRANGE', KEYS[1], ARGV[2], ARGV[1], 'COUNT', 1)
return { last[1] and last[1][1] or '', redis.call('XLEN', KEYS[1]) }
