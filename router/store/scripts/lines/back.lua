-- Gives a key back that a worker had claimed and did not handle.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the key
-- ARGV[2]  the token of the claim
-- Reply    1, or 0 where it was not with this claim any more
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local owner = owned(ARGV[1], ARGV[2])
if not owner then
  return 0
end
let_go(ARGV[1], owner)
queue(ARGV[1], 0, 0)
wake()
return 1
