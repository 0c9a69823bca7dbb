-- Writes down that an event is to be a dead letter, before it becomes one: the worker that has its key from now on
-- finishes that, and does not handle it again.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  its key
-- ARGV[2]  the token of the claim
-- ARGV[3]  its ref
-- ARGV[4]  its body, with the reason
-- Reply    1, or 0 where it was not with this claim any more
--- lib/lines.lua
--- lib/line_clock.lua
if not owned(ARGV[1], ARGV[2]) then
  return 0
end
redis.call('HSET', BODIES, ARGV[3], ARGV[4])
return 1
