-- Counts the keys of a subscription, by their state, and finds the oldest event that waits for a worker or is in hand.
--
-- KEYS     see lib/lines.lua
-- Reply    { ready, scheduled, quiet, running, held, oldest }, the last as how many milliseconds ago it came, -1 for
--          none; nothing where no worker has ever asked for keys. Paused companies do not count for the oldest, and of
--          very many companies or running keys only the first
--- lib/lines.lua
local MANY = 1000
local oldest

local function take(key)
  local at = oldest_of(key)
  if at and (not oldest or at < oldest) then
    oldest = at
  end
end

if not redis.call('GET', CLOCK) then
  return false
end
each_first(READY, '-', MANY, function(company, first)
  if not redis.call('ZSCORE', STOPPED, company) then
    take(string.match(first, '^%d+ [^%z]*%z(.*)$') or '')
  end
end)
for _, key in ipairs(redis.call('ZRANGE', RUNNING, 0, MANY - 1)) do
  take(key)
end
local counts = {}
for i, set in ipairs({ READY, DUE, QUIET, RUNNING, HELD }) do
  counts[i] = redis.call('ZCARD', set)
end
counts[#counts + 1] = oldest and math.max(0, now - oldest) or -1
return counts
