-- Ends the events of one stream, unhandled: the subscription is removed from that stream. What runs ends by itself.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the stream
-- ARGV[2]  the member of LINES to begin behind; '' for the first
-- ARGV[3]  how many members to look at
-- Reply    { the member to go on behind, or ''; how many events were ended }
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local function end_it(key, ref)
  local owner = owner_of(key)
  if owner and ref <= owner.ref then
    return 0
  end
  take_out(key, ref, owner)
  return 1
end

local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local members = redis.call('ZRANGEBYLEX', LINES, from, '+', 'LIMIT', 0, ARGV[3])
local ended = 0
for _, member in ipairs(members) do
  local key, ref = string.match(member, '^([^%z]*)%z(.*)$')
  if string.match(ref, '/(.*)') == ARGV[1] then
    ended = ended + end_it(key, ref)
  end
end
wake()
return { #members == tonumber(ARGV[3]) and members[#members] or '', ended }
