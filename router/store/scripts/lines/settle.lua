-- Ends events whose outcome is final, with those that were merged into them, and lets their keys go on.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   quiet, milliseconds; 0 where nothing is merged
-- ARGV[2]   within, milliseconds
-- ARGV[3..] for each, at most 100: its key; the token of the claim; '1' to hold the key for an operator; how many refs
--           follow; those
-- Reply     the numbers, from 1, of those that were not with this claim any more
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local quiet, within = tonumber(ARGV[1]), tonumber(ARGV[2])
local gone, ended, lengths = {}, {}, {}

local function take_out_all(key, first, last)
  for i = first, last do
    local stream = take_out(key, ARGV[i])
    if stream then
      gone[#gone + 1] = ARGV[i]
      lengths[stream] = (lengths[stream] or 0) + 1
    end
  end
end

local lost, at, number = {}, 3, 0
while at <= #ARGV do
  local key, token, hold, count = ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1', tonumber(ARGV[at + 3])
  local owner = owned(key, token)
  number = number + 1
  if owner and not ended[key] then
    take_out_all(key, at + 4, at + 3 + count)
    if hold then
      redis.call('ZADD', HELD, stamp(now), key)
      some[HELD] = true
    end
    ended[key] = true
    ended[#ended + 1] = key
    make_room(key, owner)
    queue(key, quiet, within)
  else
    lost[#lost + 1] = number
  end
  at = at + 4 + count
end
forget(gone, lengths)
delete('ZREM', RUNNING, ended)
delete('HDEL', OWNERS, ended)
wake()
return lost
