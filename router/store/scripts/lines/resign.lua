-- Gives up the lease of the worker that brings events, so that another has it at once.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  token of who had it
-- Reply    1, or 0 where another one has it
--- lib/lines.lua
if redis.call('GET', MOVER) ~= ARGV[1] then
  return 0
end
redis.call('DEL', MOVER, TRIALS) -- who gives it up has not died of what it tried
has_woken = true -- for those who wait: a claim says that nobody brings events
wake()
return 1
