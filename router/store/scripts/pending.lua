-- Lists what is pending with a consumer, in the order of the entries.
--
-- KEYS[1]  events stream or inbox
-- ARGV[1]  consumer group
-- ARGV[2]  consumer
-- ARGV[3]  where to begin: '-', or '(' and the id of the last entry of the page before
-- ARGV[4]  how many at most (<= 100)
-- Reply    entry ids
local ids = {}
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], '+', ARGV[4], ARGV[2])
for i, entry in ipairs(pending) do
  ids[i] = entry[1]
end
return ids
