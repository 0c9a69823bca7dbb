-- Gives a subscription events of a stream once more: each is copied into its inbox as one that was never attempted, with
-- the id of its entry, by which a keyed subscription orders it, and a generation of its own. What the same replay has given
-- before is not given again; that is remembered for a while.
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
local function is_given(mark)
  for k = 3, #KEYS do
    if redis.call('HGET', KEYS[k], mark) then
      return true
    end
  end
  return false
end

redis.call('XPENDING', KEYS[2], ARGV[1])
local time = redis.call('TIME')
local now = string.format('%s.%06d', time[1], tonumber(time[2]))
local given, before = 0, 0
for i = 6, #ARGV do
  local mark = ARGV[i] .. ARGV[3]
  if is_given(mark) then
    before = before + 1
  else
    local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
    if #found == 1 then
      local fields = without(bounded(found[1][2]), GENERATION)
      if ARGV[5] == '1' then
        fields = without(fields, EVENT)
      end
      for _, part in ipairs({ HISTORY, ARGV[2], ORDER, ARGV[i], GENERATION, now .. '/' .. ARGV[i] }) do
        fields[#fields + 1] = part
      end
      redis.call('XADD', KEYS[2], '*', unpack(fields))
      redis.call('HSET', KEYS[3], mark, 1)
      given = given + 1
    end
  end
end
if given > 0 then
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return { given, before }
