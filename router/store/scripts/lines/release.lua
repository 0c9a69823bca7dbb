-- Lets keys go on that are held for an operator.
--
-- KEYS      see lib/lines.lua
-- ARGV[1..] keys, at most 100
-- Reply     how many were held
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local released = 0
for _, key in ipairs(ARGV) do
  if redis.call('ZREM', HELD, key) == 1 then
    released = released + 1
    if not redis.call('ZSCORE', RUNNING, key) then
      queue(key, 0, 0)
    end
  end
end
wake()
return released
