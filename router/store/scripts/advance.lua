-- Moves a group on to what was brought into the lines of its subscription; never backwards.
--
-- KEYS[1]  events stream
-- ARGV[1]  consumer group
-- ARGV[2]  id of the last entry that was brought
-- ARGV[3]  how many entries were brought
-- Reply    1, or 0 where the group is there already
--
-- How many entries a group has read tells its lag, and is not known while entries are missing that it has not come to: it
-- is known again at the last entry, where all that were ever added are behind it.
local function order(id)
  local millis, number = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #millis) .. millis .. string.rep('0', 20 - #number) .. number
end

-- Returns how many entries were ever added where this is the last one, and the server counts them.
local function added_by(id)
  if #redis.call('XRANGE', KEYS[1], '(' .. id, '+', 'COUNT', 1) > 0 then
    return nil
  end
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then
      return info[i + 1]
    end
  end
end

for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #fields, 2 do
    group[fields[i]] = fields[i + 1]
  end
  if group['name'] == ARGV[1] then
    if order(group['last-delivered-id']) >= order(ARGV[2]) then
      return 0
    end
    local read = group['entries-read'] and group['lag'] and tonumber(group['entries-read']) + tonumber(ARGV[3])
    read = read or added_by(ARGV[2])
    if read then
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2], 'ENTRIESREAD', read)
    else
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2])
    end
    return 1
  end
end
return redis.error_reply("NOGROUP no such consumer group '" .. ARGV[1] .. "'")
