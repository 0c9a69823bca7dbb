-- Records that a suspect is being started, before its handler runs.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  its key
-- ARGV[2]  the token of the claim
-- Reply    1, or 0 where it was not with this claim any more
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local owner = owned(ARGV[1], ARGV[2])
if not owner then
  return 0
end
owner.started = true
own(ARGV[1], owner)
return 1
