-- Writes down that an event is to be a dead letter, before it becomes one: the worker that has its key from now on
-- finishes that, and does not handle it again.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  its key
-- ARGV[2]  the token of the claim
-- ARGV[3]  its ref
-- ARGV[4]  its body, with the reason
-- Reply    1, or 0 where it was not with this claim any more, or was erased meanwhile: see erase.lua
--- lib/lines.lua
--- lib/line_clock.lua
local owner = owned(ARGV[1], ARGV[2])
if not owner then
  return 0
end
if not redis.call('ZSCORE', LINES, ARGV[1] .. '\0' .. ARGV[3]) and not redis.call('HGET', BODIES, ARGV[3]) then
  let_go(ARGV[1], owner)
  queue(ARGV[1], 0, 0)
  wake()
  return 0
end
redis.call('HSET', BODIES, ARGV[3], ARGV[4])
return 1
