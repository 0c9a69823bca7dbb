-- Brings nearer the retries that were parked in the future, by the server's clock: it was ahead and was set back, or the
-- server has taken over from one whose clock was. None waits for longer from now on than its whole delay, however often
-- this runs.
--
-- KEYS[1]  sorted set of scheduled retries
-- KEYS[2]  stream of their bodies
-- ARGV[1]  where to begin: an empty string, or '(' and the id of the last body of the page before
-- ARGV[2]  how many bodies to look at in this call (<= 100)
-- Reply    the id of the last body, where there may be more, else an empty string
--- lib/fields.lua
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local from = ARGV[1] ~= '' and ARGV[1] or string.format('%.0f', now)
local bodies = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2])
for _, body in ipairs(bodies) do
  local delay = body[2][1] == DELAY and tonumber(body[2][2])
  if delay then
    local number = math.min(999, tonumber(string.match(body[1], '%d+$')))
    redis.call('ZADD', KEYS[1], 'XX', 'LT', string.format('%.3f', now + delay + number / 1000), body[1])
  end
end
return #bodies == tonumber(ARGV[2]) and bodies[#bodies][1] or ''
