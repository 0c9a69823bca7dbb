-- Has an event tried again later; its key waits for it. What was merged into it stays where it is. Then the key comes
-- behind all that were ready before of its company: what fails again and again does not keep newer events waiting.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  its key
-- ARGV[2]  the token of the claim
-- ARGV[3]  its ref
-- ARGV[4]  its body, with this attempt
-- ARGV[5]  in how many milliseconds
-- Reply    1, or 0 where it was not with this claim any more, or was erased meanwhile: see erase.lua
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local key = ARGV[1]
local owner = owned(key, ARGV[2])
if not owner then
  return 0
end
if not redis.call('ZSCORE', LINES, key .. '\0' .. ARGV[3]) and not redis.call('HGET', BODIES, ARGV[3]) then
  let_go(key, owner)
  queue(key, 0, 0)
  wake()
  return 0
end
local due = now + tonumber(ARGV[5])

local function write(ref, body, since)
  local said, packed = string.match(body, '^([^%z]*%z[^%z]*%z[^%z]*%z[^%z])%d*([^%z]*%z.*)$')
  redis.call('HSET', BODIES, ref, said and said .. stamp(since) .. packed or body)
end

local head = first_of(LINES, key) or ARGV[3]
local body = head == ARGV[3] and ARGV[4] or redis.call('HGET', BODIES, head) or ''
local last = last_of(READY, string.match(body, '^[^%z]*')) or ''
local since = math.max(due, tonumber(string.match(last, '^%d+') or 0) + 1)
write(ARGV[3], ARGV[4], since)
if head ~= ARGV[3] then
  write(head, body, since)
end
let_go(key, owner)
redis.call('ZADD', DUE, stamp(due), key)
has_woken = true -- for those who wait to know how long
wake()
return 1
