-- Moves a group on to what was brought into the lines of its subscription; never backwards.
--
-- KEYS[1]  events stream
-- ARGV[1]  consumer group
-- ARGV[2]  id of the last entry that was brought
-- ARGV[3]  how many entries were brought
-- Reply    1, or 0 where the group is there already
local function order(id)
  local millis, number = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #millis) .. millis .. string.rep('0', 20 - #number) .. number
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
    local read = group['entries-read']
    if read then
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2], 'ENTRIESREAD', tonumber(read) + tonumber(ARGV[3]))
    else
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2])
    end
    return 1
  end
end
return redis.error_reply("NOGROUP no such consumer group '" .. ARGV[1] .. "'")
