-- Gives a subscription events of the archive once more: as hand_over.lua does, with the fields of each given to it.
--
-- KEYS[1]    inbox
-- KEYS[2]    hash of what was given this week: 1 by the entry id and what the replay is known by
-- KEYS[3..]  hashes of what was given in other weeks
-- ARGV[1]    consumer group
-- ARGV[2]    line for the history
-- ARGV[3]    what the replay is known by; empty, or of a few characters
-- ARGV[4]    how long the hash of this week is kept, milliseconds
-- ARGV[5]    '1' to leave out the normalised event, so that it is made again from `raw`
-- ARGV[6..]  for each event its entry id, how many names and values it has, and those; at most 100 events
-- Reply      how many were given, and how many the replay had given before
--- lib/fields.lua
--- lib/bounded.lua
--- lib/given.lua
redis.call('XPENDING', KEYS[1], ARGV[1])
local time = redis.call('TIME')
local now = string.format('%s.%06d', time[1], tonumber(time[2]))
local given, before, i = 0, 0, 6
while i < #ARGV do
  local entry, width = ARGV[i], tonumber(ARGV[i + 1])
  local mark = entry .. ARGV[3]
  if is_given(2, mark) then
    before = before + 1
  else
    local fields = {}
    for f = i + 2, i + 1 + width do
      fields[#fields + 1] = ARGV[f]
    end
    give(KEYS[1], KEYS[2], mark, now, ARGV[2], entry, fields, ARGV[5] == '1')
    given = given + 1
  end
  i = i + 2 + width
end
if given > 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return { given, before }
