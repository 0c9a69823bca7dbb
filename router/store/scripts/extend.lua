-- Heartbeat of deliveries: renews this consumer's hold on them and says which it lost.
--
-- KEYS[1]    events stream or inbox
-- ARGV[1]    consumer group
-- ARGV[2]    consumer
-- ARGV[3..]  entry ids, at most 100
-- Reply      the ids that are not this consumer's any more
local held, lost = {}, {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #pending == 1 and pending[1][2] == ARGV[2] then
    held[#held + 1] = ARGV[i]
  else
    lost[#lost + 1] = ARGV[i]
  end
end
if #held > 0 then
  held[#held + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(held))
end
return lost
