-- Names keys that have events, in the order of their names.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  from where on: `-`, or what ZRANGEBYLEX takes
-- ARGV[2]  how many at most
-- Reply    the keys
--- lib/lines.lua
local names, from = {}, ARGV[1]
while #names < tonumber(ARGV[2]) do
  local member = redis.call('ZRANGEBYLEX', LINES, from, '+', 'LIMIT', 0, 1)[1]
  if not member then
    break
  end
  local key = string.match(member, '^[^%z]*')
  names[#names + 1] = key
  from = '(' .. key .. '\1'
end
return names
