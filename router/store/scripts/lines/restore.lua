-- Puts events into lines that somebody deleted manually, of which the bodies are there still. Where their keys wait is
-- mended afterwards: see mend.lua.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   token of the lease of who brings events
-- ARGV[2..] for each event, at most 100: its key; its ref
-- Reply     how many were put there; nothing where another worker has the lease
--- lib/lines.lua
if redis.call('GET', MOVER) ~= ARGV[1] then
  return false
end
local restored = 0
for i = 2, #ARGV, 2 do
  if redis.call('HGET', BODIES, ARGV[i + 1]) then
    restored = restored + redis.call('ZADD', LINES, 'NX', 0, ARGV[i] .. '\0' .. ARGV[i + 1])
  end
end
return restored
