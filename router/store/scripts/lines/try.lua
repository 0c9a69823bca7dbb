-- Notes for which entries a user's key function is about to run, which may end the process. The note goes when they are
-- added: one that is found later says at which entries a worker died.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   token of the lease
-- ARGV[2..] for each source: its key; the places of the first and of the last entry, with leading zeros
-- Reply     by how many workers just this was begun, this one included, the most of all sources; 0 where another worker
--           has the lease
--- lib/lines.lua
if redis.call('GET', MOVER) ~= ARGV[1] then
  return 0
end
local most = 0
for i = 2, #ARGV, 3 do
  local source, entries = ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2]
  local noted, times, token = string.match(redis.call('HGET', TRIALS, source) or '', '^(%S+ %S+) (%d+) (.*)$')
  times = noted == entries and tonumber(times) + (token == ARGV[1] and 0 or 1) or 1
  redis.call('HSET', TRIALS, source, entries .. ' ' .. times .. ' ' .. ARGV[1])
  most = math.max(most, times)
end
return most
