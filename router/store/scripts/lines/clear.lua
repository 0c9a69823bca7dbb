-- Deletes all that is left of lines without events, of a subscription that has no key any more.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the token of the lease: while a worker has it, no other can bring events
-- Reply    1, or 0 where there are events, or another worker has the lease
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
if redis.call('GET', MOVER) ~= ARGV[1] or redis.call('EXISTS', LINES) == 1 then
  return 0
end
redis.call('UNLINK', unpack(KEYS))
return 1
