-- Takes back at once what a worker held that is gone for sure, or what a claim got whose reply was lost.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  what all its tokens begin with
-- ARGV[2]  '1' to count it as a crash of what it held
-- Reply    how many keys
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local taken = 0
for _, key in ipairs(redis.call('ZRANGE', RUNNING, 0, -1)) do
  local owner = owner_of(key)
  if owner and string.sub(owner.token, 1, #ARGV[1]) == ARGV[1] then
    if ARGV[2] == '1' then
      recover(key, owner, 0, 0)
    else
      let_go(key, owner)
      queue(key, 0, 0)
    end
    taken = taken + 1
  end
end
wake()
return taken
