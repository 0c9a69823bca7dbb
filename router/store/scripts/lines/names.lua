-- Names keys that have events, in the order of their names.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  from where on: `-`, or what ZRANGEBYLEX takes
-- ARGV[2]  how many at most
-- Reply    the keys
--- lib/lines.lua
local names = {}
each_first(LINES, ARGV[1], tonumber(ARGV[2]), function(key)
  names[#names + 1] = key
end)
return names
