-- Removes the oldest events of a stream: those that every consumer group has finished, that are old enough, and that are in
-- the archive where the stream is archived.
--
-- What a group has not been given yet, or holds, stays with everything behind it. A stream without a group is trimmed
-- by age alone. Call it again until it removes nothing.
--
-- KEYS[1]  events stream
-- KEYS[2]  hash of how far the stream is archived (archive/next.lua); where there is one it counts, whichever worker trims
-- ARGV[1]  how long an event is kept, milliseconds
-- ARGV[2]  how many to remove at most in this call
-- ARGV[3]  '1' to remove nothing from a stream that has no such hash
-- ARGV[4]  '1' to hear when there may be something to remove
-- Reply    how many were removed; with ARGV[4], where all is too young for that, for how long still: milliseconds, below 0
--- lib/finished.lua
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)

local function is_young(left)
  return ARGV[4] == '1' and -math.min(math.max(math.floor(left), 0), 86400000) or 0 -- a day at most: it has to be a number
end

if #first == 0 then
  return is_young(tonumber(ARGV[1]))
end
local time = redis.call('TIME')
local limit = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - tonumber(ARGV[1])
if limit <= 0 then
  return 0
end

local oldest, keep = first[1][1], string.format('%.0f-0', limit)
local archived = redis.call('HGET', KEYS[2], 'position')
if not archived and ARGV[3] == '1' then
  return 0
elseif archived and order(archived) < order(keep) then
  keep = earlier(keep, redis.call('XRANGE', KEYS[1], '(' .. archived, '+', 'COUNT', 1))
end
keep = unfinished(KEYS[1], oldest, keep)
if order(oldest) >= order(keep) then
  return is_young(tonumber(string.match(oldest, '^%d+')) - limit)
end

-- Whole nodes first, which needs no look at what is in them; then the few entries of the node that is kept in part.
local most = tonumber(ARGV[2])
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', keep, 'LIMIT', most)
if removed == 0 then
  local rest = redis.call('XRANGE', KEYS[1], '-', '(' .. keep, 'COUNT', most + 1)
  removed = redis.call('XTRIM', KEYS[1], 'MINID', rest[most + 1] and rest[most + 1][1] or keep)
end
return removed
