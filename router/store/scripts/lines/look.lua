-- Describes keys: in which state each is, and its first event; fewer than asked for where bodies are large.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   bytes of bodies from which on no more keys follow
-- ARGV[2..] keys, at most 100
-- Reply     of each of the first few, at least one: { key, its events, state, epoch milliseconds, token, ref, body,
--           until when its company is paused or '', the entry of PAUSES of that or '', how many of its company may run at
--           once where so many do, else 0, when the oldest of its events came or '' }.
--           State and time: `running` until its hold has to be renewed, by the worker of the token; `held` since;
--           `scheduled` and `quiet` until; `ready` has no time; '' is a key without anything
--- lib/lines.lua
local function state_of(key, number)
  local places = { { 'running', RUNNING }, { 'held', HELD }, { 'scheduled', DUE }, { 'quiet', QUIET } }
  for _, place in ipairs(places) do
    local at = redis.call('ZSCORE', place[2], key)
    if at then
      return place[1], at
    end
  end
  return number > 0 and 'ready' or '', ''
end

local limit = tonumber(redis.call('HGET', READ, 'limit') or 0)

-- Returns what keeps a company waiting: a pause, and that it has as many handlers as it may.
local function waiting_of(company)
  local until_when = redis.call('ZSCORE', STOPPED, company)
  if until_when and until_when ~= 'inf' and tonumber(until_when) <= now then
    until_when = nil
  end
  local full = limit > 0 and number_of(BUSY, company) >= limit
  return { until_when or '', until_when and redis.call('HGET', PAUSES, company) or '', full and limit or 0 }
end

local rows, size = {}, 0
for i = 2, #ARGV do
  local key = ARGV[i]
  local number = number_of(LINES, key)
  local state, at = state_of(key, number)
  local owner = owner_of(key)
  local ref = first_of(LINES, key) or ''
  local body = redis.call('HGET', BODIES, ref) or ''
  local token, company = owner and owner.token or '', string.match(body, '^[^%z]*')
  local oldest = oldest_of(key)
  local waits = waiting_of(company)
  rows[#rows + 1] = { key, number, state, at, token, ref, body, waits[1], waits[2], waits[3], oldest and stamp(oldest) or '' }
  size = size + #body
  if size >= tonumber(ARGV[1]) then
    break
  end
end
return rows
