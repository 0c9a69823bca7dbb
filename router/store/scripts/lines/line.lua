-- Lists the events of a key, in order; fewer than asked for where bodies are large.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  the key
-- ARGV[2]  the ref to begin behind; '' for the first event
-- ARGV[3]  how many at most
-- ARGV[4]  bytes of bodies from which on no more events follow
-- Reply    { the ref up to which a worker handles them now, or ''; ref, body, ref, body, … }
--- lib/lines.lua
local key, after = ARGV[1], ARGV[2]
local from, to = span(key)
if after ~= '' then
  from = '(' .. key .. '\0' .. after
end
local owner = owner_of(key)
local listed, size = { owner and owner.ref or '' }, 0
for _, member in ipairs(redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', 0, ARGV[3])) do
  local ref = string.sub(member, #key + 2)
  local body = redis.call('HGET', BODIES, ref) or ''
  listed[#listed + 1], listed[#listed + 2] = ref, body
  size = size + #body
  if size >= tonumber(ARGV[4]) then
    break
  end
end
return listed
