-- Asks whether a call of a target may go, or takes note of what became of one; by the server's clock.
--
-- A breaker is closed, and every call goes, until so many have failed in a row. Then it is open: one call in each
-- interval goes, the probe, and the others wait. A probe holds its interval whether it is answered or not; so one whose
-- worker died is replaced in the next. A call that succeeds closes the breaker. With each opening and closing a new turn
-- begins: what is heard of a call that went in an earlier turn says nothing of this one.
--
-- KEYS[1]  hash of the breaker: `turn`, `opened` (when it opened, 0 while it is closed), `since` (when it last opened or
--          closed), `failures` (in a row), `last` (the last of them), `reason` (of that), `next` (from when on the next
--          probe may go); times in epoch milliseconds
-- ARGV[1]  'take', 'succeeded' or 'failed'
-- ARGV[2]  how many failures in a row open it
-- ARGV[3]  the interval, milliseconds
-- ARGV[4]  succeeded, failed: the turn in which the call went, or -1 where it went without asking
-- ARGV[5]  failed: why
-- Reply    { 1 if the call may go, or counts; turn; 1 if open; milliseconds until the next probe may go; milliseconds
--          since it opened; 1 if this opened or closed it; failures }
local verb, most, interval, turn = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local FORGOTTEN, KEPT = 300000, 86400000
local FIELDS = { 'turn', 'opened', 'since', 'failures', 'last', 'next' }

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local b = {}
for i, value in ipairs(redis.call('HMGET', KEYS[1], unpack(FIELDS))) do
  b[FIELDS[i]] = math.max(0, tonumber(value or 0) or 0)
end

-- should the clock be set back, no probe waits for longer than an interval: that is written down, else it would begin
-- again at each call
local ahead = b.opened > 0 and b.next > now + interval
b.next = math.min(b.next, now + interval)
b.opened = math.min(b.opened, now)
b.since = math.min(b.since, now)
b.last = math.min(b.last, now)

local function turned(opened)
  b.turn, b.opened, b.since, b.failures = b.turn + 1, opened, now, opened > 0 and b.failures or 0
  return 1, 1, 1
end

-- each returns whether the call may go or counts, whether anything changed, and whether the breaker opened or closed
local function take()
  if b.opened == 0 then
    return 1, 0, 0
  elseif b.next > now then
    return 0, ahead and 1 or 0, 0
  end
  b.next = now + interval
  return 1, 1, 0
end

local function succeeded()
  if turn ~= b.turn then
    return 0, 0, 0
  elseif b.opened > 0 then
    return turned(0)
  end
  local changed = b.failures > 0 and 1 or 0
  b.failures = 0
  return 1, changed, 0
end

local function failed()
  if turn ~= b.turn then
    return 0, 0, 0
  end
  b.failures = (b.opened == 0 and now - b.last > FORGOTTEN and 0 or b.failures) + 1
  b.last = now
  if b.opened > 0 or b.failures < most then
    return 1, 1, 0
  end
  b.next = now + interval
  return turned(now)
end

local goes, changed, turns = ({ take = take, succeeded = succeeded, failed = failed })[verb]()
if changed == 1 then
  local values = {}
  for _, name in ipairs(FIELDS) do
    values[#values + 1] = name
    values[#values + 1] = string.format('%.0f', b[name])
  end
  if verb == 'failed' then
    values[#values + 1] = 'reason'
    values[#values + 1] = ARGV[5]
  end
  redis.call('HSET', KEYS[1], unpack(values))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', interval + KEPT))
end
local open = b.opened > 0 and 1 or 0
return { goes, b.turn, open, open * math.max(0, b.next - now), open * (now - b.opened), turns, b.failures }
