-- Removes events of a keyed subscription for good, wherever they are in their lines, and lets their keys go on.
--
-- What a worker has in hand is removed as well, and its key stays with it until its handler has ended: so no other event
-- of the key runs beside it. Whatever the handler comes to, that ends nothing and brings nothing back (retry.lua, doom.lua).
--
-- KEYS      see lib/lines.lua
-- ARGV[1..] for each event, at most 100: its key; its ref; '1' where it was seen to be noted as dead, else '0': one that
--           was noted meanwhile stays, since a dead letter is being made of it
-- Reply     { how many were removed, how many of those a worker has in hand, how many stay }
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local function is_doomed(ref)
  local body = redis.call('HGET', BODIES, ref) or ''
  return string.match(body, '^[^%z]*%z[^%z]*%z[^%z]*%z([^%z]?)') == '1'
end

local function end_it(key, ref)
  local owner = owner_of(key)
  local company = take_out(key, ref, owner)
  if not first_of(READY, company) then
    leave(company)
  end
  return owner and ref <= owner.ref and 1 or 0
end

local removed, in_hand, stayed = 0, 0, 0
for i = 1, #ARGV, 3 do
  local key, ref = ARGV[i], ARGV[i + 1]
  if redis.call('ZSCORE', LINES, key .. '\0' .. ref) or redis.call('HGET', BODIES, ref) then
    if is_doomed(ref) == (ARGV[i + 2] == '1') then
      in_hand = in_hand + end_it(key, ref)
      removed = removed + 1
    else
      stayed = stayed + 1
    end
  end
end
wake()
return { removed, in_hand, stayed }
