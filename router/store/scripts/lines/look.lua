-- Describes keys: in which state each is, and its first event; fewer than asked for where bodies are large.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   bytes of bodies from which on no more keys follow
-- ARGV[2..] keys, at most 100
-- Reply     of each of the first few, at least one: { key, its events, state, epoch milliseconds, token, ref, body }.
--           State and time: `running` until its hold has to be renewed, by the worker of the token; `held` since;
--           `scheduled` and `quiet` until; `ready` has no time; '' is a key without anything
--- lib/lines.lua
local function state_of(key, number)
  local places = { { 'running', RUNNING }, { 'held', HELD }, { 'scheduled', DUE }, { 'quiet', QUIET } }
  for _, place in ipairs(places) do
    local at = redis.call('ZSCORE', place[2], key)
    if at then
      return place[1], at
    end
  end
  return number > 0 and 'ready' or '', ''
end

local rows, size = {}, 0
for i = 2, #ARGV do
  local key = ARGV[i]
  local number = number_of(LINES, key)
  local state, at = state_of(key, number)
  local owner = owner_of(key)
  local ref = first_of(LINES, key) or ''
  local body = redis.call('HGET', BODIES, ref) or ''
  rows[#rows + 1] = { key, number, state, at, owner and owner.token or '', ref, body }
  size = size + #body
  if size >= tonumber(ARGV[1]) then
    break
  end
end
return rows
