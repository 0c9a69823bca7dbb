-- Removes the oldest entries of a stream that nobody reads in turn (dead letters, the quarantine): those that are too
-- old, and those that are too many. Call it again until it removes nothing.
--
-- KEYS[1]  stream
-- ARGV[1]  how long an entry is kept, milliseconds; 0 for ever
-- ARGV[2]  how many entries are kept; 0 for all
-- ARGV[3]  how many to remove at most in this call (<= 100)
-- Reply    how many were removed
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local age, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local surplus = most > 0 and redis.call('XLEN', KEYS[1]) - most or 0
local removed = 0
while removed < tonumber(ARGV[3]) do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
  if #first == 0 then
    break
  end
  local written = tonumber(string.match(first[1][1], '^%d+'))
  if removed >= surplus and (age == 0 or written >= now - age) then
    break
  end
  redis.call('XDEL', KEYS[1], first[1][1])
  removed = removed + 1
end
return removed
