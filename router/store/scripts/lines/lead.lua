-- Takes or renews the lease of the one worker that brings events into the lines.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  token of who wants it
-- ARGV[2]  how long it lasts, milliseconds
-- Reply    { 1 if it has it now, else 0; milliseconds until it ends; and, if it has it, what READ holds }
--- lib/lines.lua
local leader = redis.call('GET', MOVER)
if leader and leader ~= ARGV[1] then
  return { 0, redis.call('PTTL', MOVER) }
end
redis.call('SET', MOVER, ARGV[1], 'PX', ARGV[2])
return { 1, tonumber(ARGV[2]), redis.call('HGETALL', READ) }
