-- Asks for one call of a quota that all workers share, or takes note of the answer to one; by the server's clock.
--
-- A quota is either a fixed rate, or learnt from the headers of answers. Then nothing is known of a new window: one call
-- goes ahead to find out, and the others wait for its answer. Within a window each call that goes lowers what is left, and
-- a header can only lower it further: what it says, less the calls that were not answered yet, which its sender may not
-- have counted. Where answers have no such header, nothing holds calls back until one is refused.
--
-- KEYS[1]  hash of the quota: `limit` and `left` of the window that ends at `reset`, `reserve` (what of it is to be left),
--          `out` (calls not answered), `now0` and `now1` (calls that went in this minute and the one before), `minute`,
--          `probe` (until when the call that finds out may take), `blind` (until when answers are taken to say nothing),
--          `closed` (until when the other side wants no calls), `rate` (as ARGV[5]), `at` (when this was last written);
--          times in epoch milliseconds
-- KEYS[2]  sorted set: whose quotas there are of this limit, by when they were last used
-- KEYS[3]  sorted set: the workers that use this limit, by when they last did
-- ARGV[1]  'take' or 'learn'
-- ARGV[2]  whose quota it is
-- ARGV[3]  the worker
-- ARGV[4]  the length of a window, or of the longest, milliseconds
-- ARGV[5]  how many calls a window has; 0 where that is learnt
-- ARGV[6]  how many calls went while this worker could not ask
-- ARGV[7]  take: which part of the limit is to be left; learn: the limit, or -1
-- ARGV[8]  learn: what is left, or -1
-- ARGV[9]  learn: in how many milliseconds the window ends, or -1
-- ARGV[10] learn: for how many milliseconds the other side wants no calls, or 0
-- ARGV[11] learn: '1' where it was an answer that should have had headers
-- Reply    { 1 if a call may go, else 0; milliseconds to wait, -1 where an answer is awaited; limit; left; milliseconds
--          until the window ends; workers }
local verb, longest, rate = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local PROBE, BLIND, MINUTE, KEPT = 30000, 60000, 60000, 86400000
local TIMES = { 'reset', 'probe', 'blind', 'closed' }
local FIELDS = { 'limit', 'left', 'reset', 'reserve', 'out', 'now0', 'now1', 'minute', 'probe', 'blind', 'closed', 'rate', 'at' }

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local q = {}
for i, value in ipairs(redis.call('HMGET', KEYS[1], unpack(FIELDS))) do
  q[FIELDS[i]] = tonumber(value or 0) or 0
end

q.rate = rate
-- should the clock be set back, nothing waits for longer than it would have, and no call under way is forgotten
if q.at > now then
  for _, name in ipairs(TIMES) do
    q[name] = math.max(0, q[name] - (q.at - now))
  end
  q.minute = math.min(q.minute, math.floor(now / MINUTE))
end
q.at = now
q.reset = math.min(q.reset, now + longest)
q.closed = math.min(q.closed, now + longest)
q.probe = math.min(q.probe, now + PROBE)
q.blind = math.min(q.blind, now + BLIND)

local minute = math.floor(now / MINUTE)
if q.minute ~= minute then
  q.now1 = q.minute == minute - 1 and q.now0 or 0
  q.now0, q.minute = 0, minute
end
q.out = math.min(q.out, q.now0 + q.now1) -- a call takes no longer; what was never answered is forgotten so
q.left = q.left - tonumber(ARGV[6])

local function go()
  q.out, q.now0 = q.out + 1, q.now0 + 1
  return 1, 0
end

local function begin_window()
  if q.reset <= now then
    q.left, q.reset = rate - tonumber(ARGV[6]), now + longest
  elseif q.limit ~= rate then
    q.left = q.left + rate - q.limit
  end
  q.limit = rate
end

local function take()
  q.reserve = tonumber(ARGV[7])
  if rate > 0 then
    begin_window()
  end
  if q.closed > now then
    return 0, q.closed - now
  elseif q.reset <= now and q.blind > now then
    return go()
  elseif q.reset <= now and q.probe > now then
    return 0, -1
  elseif q.reset <= now then
    q.probe = now + PROBE
    return go()
  elseif q.left - 1 < math.floor(q.reserve * q.limit) then
    return 0, q.reset - now
  end
  q.left = q.left - 1
  return go()
end

local function heard(limit, left, ends)
  if q.reset <= now then
    q.left, q.limit = left - q.out, limit >= 0 and limit or left
    q.reset = now + (ends >= 0 and math.min(ends, longest) or longest)
  elseif ends < 0 or ends >= (q.reset - now) / 2 then -- else it is of the window before
    q.left, q.limit = math.min(q.left, left - q.out), limit >= 0 and limit or q.limit
  end
end

local function learn()
  local limit, left, ends, closed = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
  q.out, q.probe = math.max(0, q.out - 1), 0
  if closed > 0 then
    q.closed = math.max(q.closed, now + math.min(closed, longest))
    if rate == 0 then
      q.reset, q.left, q.blind = 0, 0, 0 -- what is left after that, one call finds out
    end
  elseif rate == 0 and left >= 0 then
    heard(limit, left, ends)
  elseif rate == 0 and ARGV[11] == '1' then
    q.blind = now + math.min(BLIND, longest)
  end
  return 1, 0
end

local granted, wait = (verb == 'take' and take or learn)()
local values = {}
for _, name in ipairs(FIELDS) do
  values[#values + 1] = name
  values[#values + 1] = name == 'reserve' and tostring(q[name]) or string.format('%.0f', q[name])
end
redis.call('HSET', KEYS[1], unpack(values))
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[2])
redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - longest - KEPT))
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now - math.max(longest, MINUTE)))
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, string.format('%.0f', longest + KEPT))
end
return { granted, wait, q.limit, q.left, math.max(0, q.reset - now), redis.call('ZCARD', KEYS[3]) }
