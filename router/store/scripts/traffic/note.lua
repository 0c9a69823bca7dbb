-- Notes what came to an ingress within about a minute, and that it listened.
--
-- KEYS[1]  hash of an hour: `events last` by subject, `last` in epoch milliseconds; a subject is a publisher, or a
--          publisher and a company with a slash between; 0 events are of one that may send. The field `listened` has for
--          each five minutes of the hour a 1 where an ingress listened, else a 0
-- KEYS[2]  hash of the publishers of which requests were refused since one was accepted: `requests since last reason`
-- KEYS[3]  hash of the spools that hold something, as their processes wrote it
-- ARGV[1]  time to live of the hour, milliseconds
-- ARGV[2]  most companies of an hour
-- ARGV[3]  five minutes that were listened, as in `listened`
-- ARGV[4]  the process
-- ARGV[5]  what its spool holds; empty for nothing
-- ARGV[6]  n, how many subjects follow
-- ARGV[7..]  n times subject, events, last; then for each publisher refused: its name, requests, since, last, reason
-- Reply    how many companies were left out
local n, most, left_out, companies = tonumber(ARGV[6]), tonumber(ARGV[2]), 0, nil
local came = {}

local function room()
  companies = companies or redis.call('HLEN', KEYS[1])
  companies = companies + 1
  return companies <= most
end

for i = 7, 6 + 3 * n, 3 do
  local subject, events, last = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known = redis.call('HGET', KEYS[1], subject)
  if known then
    local before, latest = string.match(known, '^(%d+) (%d+)$')
    events, last = events + tonumber(before or 0), math.max(last, tonumber(latest or 0))
  end
  if known or not string.find(subject, '/', 1, true) or room() then
    redis.call('HSET', KEYS[1], subject, string.format('%.0f %.0f', events, last))
  else
    left_out = left_out + 1
  end
  if tonumber(ARGV[i + 1]) > 0 then
    came[subject] = true
    redis.call('HDEL', KEYS[2], subject)
  end
end

local listened, old = {}, redis.call('HGET', KEYS[1], 'listened') or ''
for i = 1, #ARGV[3] do
  listened[i] = (string.sub(ARGV[3], i, i) == '1' or string.sub(old, i, i) == '1') and '1' or '0'
end
redis.call('HSET', KEYS[1], 'listened', table.concat(listened))
redis.call('PEXPIRE', KEYS[1], ARGV[1])

for i = 7 + 3 * n, #ARGV, 5 do
  local publisher, requests, since, last, reason = unpack(ARGV, i, i + 4)
  if not came[publisher] then
    local before, first = string.match(redis.call('HGET', KEYS[2], publisher) or '', '^(%d+) (%d+) ')
    requests = tonumber(requests) + tonumber(before or 0)
    redis.call('HSET', KEYS[2], publisher, string.format('%.0f %s %s %s', requests, first or since, last, reason))
  end
end

if ARGV[5] == '' then
  redis.call('HDEL', KEYS[3], ARGV[4])
else
  redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
end
return left_out
