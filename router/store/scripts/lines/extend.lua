-- Renews the hold on keys.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   how long a hold lasts, milliseconds
-- ARGV[2..] for each, at most 100: the key; the token of the claim
-- Reply     the numbers, from 1, of those that were not with their claim any more
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local lost = {}
for i = 2, #ARGV, 2 do
  local owner = owned(ARGV[i], ARGV[i + 1])
  if owner then
    redis.call('ZADD', RUNNING, stamp(now + tonumber(ARGV[1]) / 2), ARGV[i])
    if owner.doubted then
      owner.doubted = false
      own(ARGV[i], owner)
    end
  else
    lost[#lost + 1] = i / 2
  end
end
return lost
