-- Puts exported dead letters back among the dead letters, each once: what it put back is written down for a while.
--
-- KEYS[1]    dead letters
-- KEYS[2]    hash of what was put back: entry id in KEYS[1] by the name of the dead letter
-- ARGV[1]    how long that is remembered, milliseconds
-- ARGV[2]    '1' to put back also what was put back before and is gone since
-- ARGV[3]    '1' to put back nothing, but only to answer
-- ARGV[4..]  for each dead letter, at most 100: the id of its entry when it was exported, the id of its event, how many
--            arguments its fields and values are, and those
-- Reply      for each: 'new'; 'there' where it is among the dead letters; 'before' where it was put back and is gone
--- lib/fields.lua
local ttl, again, dry = ARGV[1], ARGV[2] == '1', ARGV[3] == '1'

local function is_there(id, event)
  local found = redis.call('XRANGE', KEYS[1], id, id)
  if #found == 0 then
    return false
  end
  local fields = found[1][2]
  for i = 1, #fields, 2 do
    if fields[i] == ID then
      return fields[i + 1] == event
    end
  end
  return event == ''
end

local reply, at = {}, 4
while at <= #ARGV do
  local origin, event, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local name = origin .. ' ' .. event
  local restored = redis.call('HGET', KEYS[2], name)
  local outcome = 'new'
  if is_there(origin, event) or (restored and is_there(restored, event)) then
    outcome = 'there'
  elseif restored and not again then
    outcome = 'before'
  elseif not dry then
    local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 3, at + 2 + count))
    redis.call('HSET', KEYS[2], name, id)
    redis.call('PEXPIRE', KEYS[2], ttl)
  end
  reply[#reply + 1] = outcome
  at = at + 3 + count
end
return reply
