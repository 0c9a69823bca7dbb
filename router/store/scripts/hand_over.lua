-- Gives a subscription events of a stream once more: each is copied into its inbox as one that was never attempted.
-- An error where the subscription does not exist: nobody would ever read that inbox.
--
-- KEYS[1]    events stream
-- KEYS[2]    inbox
-- ARGV[1]    consumer group
-- ARGV[2]    line for the history
-- ARGV[3..]  entry ids, at most 100
-- Reply      how many were copied (the others are not in the stream any more)
--- lib/fields.lua
--- lib/bounded.lua
redis.call('XPENDING', KEYS[2], ARGV[1])
local given = 0
for i = 3, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
  if #found == 1 then
    local fields = bounded(found[1][2])
    fields[#fields + 1] = HISTORY
    fields[#fields + 1] = ARGV[2]
    redis.call('XADD', KEYS[2], '*', unpack(fields))
    given = given + 1
  end
end
return given
