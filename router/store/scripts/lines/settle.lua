-- Ends events whose outcome is final, with those that were merged into them, and lets their keys go on.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   quiet, milliseconds; 0 where nothing is merged
-- ARGV[2]   within, milliseconds
-- ARGV[3..] for each, at most 100: its key; the token of the claim; '1' to hold the key for an operator; how many refs
--           follow; those
-- Reply     the numbers, from 1, of those that were not with this claim any more
--- lib/lines.lua
--- lib/line_clock.lua
local quiet, within = tonumber(ARGV[1]), tonumber(ARGV[2])
local lost, at, number = {}, 3, 0
while at <= #ARGV do
  local key, token, hold, count = ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1', tonumber(ARGV[at + 3])
  local owner = owned(key, token)
  number = number + 1
  if owner then
    for i = at + 4, at + 3 + count do
      remove(key, ARGV[i])
    end
    if hold then
      redis.call('ZADD', HELD, stamp(now), key)
    end
    let_go(key, owner)
    queue(key, quiet, within)
  else
    lost[#lost + 1] = number
  end
  at = at + 4 + count
end
wake()
return lost
