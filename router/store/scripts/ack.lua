-- Acknowledges finished deliveries; in an inbox, whose only group this is, also deletes them.
--
-- KEYS[1]    events stream or inbox
-- ARGV[1]    consumer group
-- ARGV[2]    '1' to delete what was acknowledged
-- ARGV[3..]  entry ids, at most 100
-- Reply      the ids that were not pending any more (another consumer took them over)
local lost = {}
for i = 3, #ARGV do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[i]) == 0 then
    lost[#lost + 1] = ARGV[i]
  elseif ARGV[2] == '1' then
    redis.call('XDEL', KEYS[1], ARGV[i])
  end
end
return lost
