-- Giving a subscription an event once more, for the scripts that replay: behind lib/fields.lua and lib/bounded.lua.

-- Returns whether one of the hashes KEYS[first..] says that a replay has given what `mark` names.
local function is_given(first, mark)
  for k = first, #KEYS do
    if redis.call('HGET', KEYS[k], mark) then
      return true
    end
  end
  return false
end

-- Puts an event into an inbox as one that was never attempted, and notes that in the hash `given`. It gets the id of its
-- entry, by which a keyed subscription orders it, and a generation of its own, which begins with `now`.
local function give(inbox, given, mark, now, line, entry, found, renormalise)
  local fields = without(bounded(found), GENERATION)
  if renormalise then
    fields = without(fields, EVENT)
  end
  for _, part in ipairs({ HISTORY, line, ORDER, entry, GENERATION, now .. '/' .. entry }) do
    fields[#fields + 1] = part
  end
  redis.call('XADD', inbox, '*', unpack(fields))
  redis.call('HSET', given, mark, 1)
end
