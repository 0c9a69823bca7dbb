-- Has the events of a company handled again that an operator had paused.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the company
-- Reply    until when it was paused, as stop.lua; nothing where it was not
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local until_when = redis.call('ZSCORE', STOPPED, ARGV[1])
if not until_when then
  return false
end
redis.call('ZREM', STOPPED, ARGV[1])
redis.call('HDEL', PAUSES, ARGV[1])
if first_of(READY, ARGV[1]) then
  join(ARGV[1])
end
wake()
return until_when
