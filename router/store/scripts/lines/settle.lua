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

local settled, keys, at = {}, {}, 3
while at <= #ARGV do
  local count = tonumber(ARGV[at + 3])
  keys[#keys + 1] = ARGV[at]
  settled[#settled + 1] = { token = ARGV[at + 1], hold = ARGV[at + 2] == '1', first = at + 4, last = at + 3 + count }
  at = at + 4 + count
end

local members, refs, ended, owners, lost = {}, {}, {}, {}, {}
for i, text in ipairs(redis.call('HMGET', OWNERS, unpack(keys))) do
  local key, one, owner = keys[i], settled[i], read_owner(text)
  if owner and owner.token == one.token and not owners[key] then
    for ref = one.first, one.last do
      refs[#refs + 1] = ARGV[ref]
      members[#members + 1] = key .. '\0' .. ARGV[ref]
    end
    if one.hold then
      redis.call('ZADD', HELD, stamp(now), key)
      some[HELD] = true
    end
    owners[key] = owner
    ended[#ended + 1] = key
  else
    lost[#lost + 1] = i
  end
end
remove(members, refs)
call_many('ZREM', RUNNING, ended)
call_many('HDEL', OWNERS, ended)
for _, key in ipairs(ended) do
  make_room(key, owners[key])
  queue(key, quiet, within)
end
wake()
return lost
