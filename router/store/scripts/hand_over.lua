-- Gives a subscription events of a stream once more: each is copied into its inbox (lib/given.lua). What the same replay has
-- given before is not given again; that is remembered for a while.
-- An error where the subscription does not exist: nobody would ever read that inbox.
--
-- KEYS[1]    events stream
-- KEYS[2]    inbox
-- KEYS[3]    hash of what was given this week: 1 by the entry id and what the replay is known by
-- KEYS[4..]  hashes of what was given in other weeks
-- ARGV[1]    consumer group
-- ARGV[2]    line for the history
-- ARGV[3]    what the replay is known by; empty, or of a few characters
-- ARGV[4]    how long the hash of this week is kept, milliseconds
-- ARGV[5]    '1' to leave out the normalised event, so that it is made again from `raw`
-- ARGV[6..]  entry ids, at most 100
-- Reply      how many were copied, and how many the replay had given before (the others are not in the stream any more)
--- lib/fields.lua
--- lib/bounded.lua
--- lib/given.lua
redis.call('XPENDING', KEYS[2], ARGV[1])
local time = redis.call('TIME')
local now = string.format('%s.%06d', time[1], tonumber(time[2]))
local given, before = 0, 0
for i = 6, #ARGV do
  local mark = ARGV[i] .. ARGV[3]
  if is_given(3, mark) then
    before = before + 1
  else
    local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
    if #found == 1 then
      give(KEYS[2], KEYS[3], mark, now, ARGV[2], ARGV[i], found[1][2], ARGV[5] == '1')
      given = given + 1
    end
  end
end
if given > 0 then
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return { given, before }
