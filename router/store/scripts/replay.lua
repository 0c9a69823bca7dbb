-- Moves dead letters into the inbox of their subscription, with a fresh set of attempts and their history kept. The entry
-- of the dead letter is the generation of the replay: it is replayed once, however often that is tried.
--
-- KEYS[1]    dead letters
-- KEYS[2]    inbox
-- ARGV[1]    line for the history
-- ARGV[2]    '1' to leave out the normalised event, so that it is made again from `raw`
-- ARGV[3..]  entry ids, at most 100
-- Reply      how many were moved (one that is not there any more was replayed or purged before)
--- lib/fields.lua
--- lib/bounded.lua
local LEFT = { [ATTEMPTS] = true, [CRASHES] = true, [REASON] = true, [ORIGIN] = true, [DEFERRED] = true }
LEFT[GENERATION] = true
LEFT[EVENT] = ARGV[2] == '1'
local moved = 0
for i = 3, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
  if #found == 1 then
    local kept = {}
    local fields = bounded(found[1][2])
    for f = 1, #fields, 2 do
      local value = fields[f + 1]
      if fields[f] == HISTORY then
        value = (value == '' and '' or value .. '\n') .. ARGV[1]
      end
      if not LEFT[fields[f]] then
        kept[#kept + 1] = fields[f]
        kept[#kept + 1] = value
      end
    end
    kept[#kept + 1] = GENERATION
    kept[#kept + 1] = ARGV[i]
    redis.call('XADD', KEYS[2], '*', unpack(kept))
    redis.call('XDEL', KEYS[1], ARGV[i])
    moved = moved + 1
  end
end
return moved
