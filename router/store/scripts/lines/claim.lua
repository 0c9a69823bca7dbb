-- Gives a worker the first event of keys that are ready, one of each, company by company; with what is merged into it.
-- First it takes back what others have held without renewing it; what has just become due comes after what was
-- ready before.
--
-- A hold that was not renewed is doubted first, and taken away only if it is not renewed for as long again: the store
-- may have been away, or its clock have been set forward, and then nobody could have renewed anything.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  token of what is claimed now, which no other claim ever has
-- ARGV[2]  how many to claim at most (<= 100)
-- ARGV[3]  how long a hold lasts, milliseconds
-- ARGV[4]  how many of one company may run at once; 0 for any number
-- ARGV[5]  quiet, milliseconds; 0 where nothing is merged
-- ARGV[6]  within, milliseconds
-- ARGV[7]  how many one delivery may stand for at most
-- ARGV[8]  what names the worker's rule for keys: nothing is claimed where those were made by another; '' for any
-- Reply    { claimed, milliseconds until to ask again or -1, the last entry of WAKE, keys taken back, 1 if a worker
--          brings events, 2 where the keys are of another rule, else 0 };
--          of each claimed { key, ref, crashes, body, what is merged into it }, and of that, oldest first,
--          { ref, `company NUL id NUL at` or the whole body, … }: see merged in lib/lines.lua
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
local token, room, lease, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local quiet, within, most = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local MANY = 100
local held_until = stamp(now + lease / 2)

-- A subscription with nothing to do has none of these: that is asked once for all.
if redis.call('EXISTS', RUNNING, DUE, QUIET, STOPPED) == 0 then
  some[RUNNING], some[DUE], some[QUIET], some[STOPPED] = false, false, false, false
end

local function past(set)
  return has_some(set) and redis.call('ZRANGEBYSCORE', set, '-inf', stamp(now), 'LIMIT', 0, MANY) or {}
end

local function take_back()
  local taken = 0
  for _, key in ipairs(past(RUNNING)) do
    local owner = owner_of(key)
    if not owner or owner.doubted then
      recover(key, owner, quiet, within)
      taken = taken + 1
    else
      owner.doubted = true
      own(key, owner)
      redis.call('ZADD', RUNNING, held_until, key)
    end
  end
  return taken
end

-- Returns whether anything has become due.
local function promote()
  local some_were = false
  for _, set in ipairs({ DUE, QUIET }) do
    for _, key in ipairs(past(set)) do
      local head = first_of(LINES, key)
      redis.call('ZREM', set, key)
      some_were = true
      if head then
        make_ready(key, head)
      end
    end
  end
  for _, company in ipairs(past(STOPPED)) do
    redis.call('ZREM', STOPPED, company)
    redis.call('HDEL', PAUSES, company)
    some_were = true
    if first_of(READY, company) then
      join(company)
    end
  end
  return some_were
end

local function crashes_of(ref)
  return has_some(CRASHED) and tonumber(redis.call('HGET', CRASHED, ref) or 0) or 0
end

local gone, running, owners, busy = {}, {}, {}, {}

-- A crash is written down with the newest event of a delivery: the next one may stand for newer ones, and for this.
local function claim(company, ready)
  local head, key = string.match(ready, '^%d+ ([^%z]*)%z(.*)$', #company + 2)
  local ref, others = merged(key, head, most)
  local crashes = crashes_of(ref)
  for i = 1, #others, 2 do
    crashes = crashes + crashes_of(others[i])
  end
  local size = #gone
  gone[size + 1] = ready
  running[2 * size + 1], running[2 * size + 2] = held_until, key
  owners[2 * size + 1] = key
  owners[2 * size + 2] = owner_text({ token = token, company = company, ref = ref, started = crashes == 0 })
  busy[2 * size + 1], busy[2 * size + 2] = 0, company .. '\0' .. key
  return { key, ref, crashes, '', others }
end

-- Writes down what was claimed since the last time, and gets the bodies of that.
local function write_down(claimed)
  local refs = {}
  for i = #claimed - #gone + 1, #claimed do
    refs[#refs + 1] = claimed[i][2]
  end
  if #refs > 0 then
    redis.call('ZREM', READY, unpack(gone))
    redis.call('ZADD', RUNNING, unpack(running))
    some[RUNNING] = true
    redis.call('HSET', OWNERS, unpack(owners))
    if limit > 0 then
      redis.call('ZADD', BUSY, unpack(busy))
    end
    for i, body in ipairs(redis.call('HMGET', BODIES, unpack(refs))) do
      claimed[#claimed - #refs + i][4] = body
    end
  end
  gone, running, owners, busy = {}, {}, {}, {}
end

-- Returns how many keys of a company may be claimed.
local function allowed(company)
  if has_some(STOPPED) and redis.call('ZSCORE', STOPPED, company) then
    return 0
  end
  return limit > 0 and math.max(0, limit - number_of(BUSY, company)) or room
end

-- Returns the companies whose turn it is next, no more than there is room for, each with its share of what is ready.
local function next_companies(free)
  local names = redis.call('ZRANGE', TURNS, 0, free - 1)
  local companies, share = {}, math.ceil(free / #names)
  for i, name in ipairs(names) do
    local number = math.min(share, allowed(name))
    local from, to = span(name)
    local ready = number > 0 and redis.call('ZRANGEBYLEX', READY, from, to, 'LIMIT', 0, number) or {}
    companies[i] = { name = name, ready = ready, looked = 0, had = 0 }
  end
  return companies
end

-- A key is ready twice where its line was deleted manually meanwhile: the other one is forgotten while it runs.
local is_taken = {}
local function runs(key)
  return is_taken[key] or redis.call('ZSCORE', RUNNING, key)
end

-- Claims one key of each company that has one; returns whether there was any.
local function go_round(companies, claimed)
  local before = #claimed
  for _, company in ipairs(companies) do
    local ready = company.ready[company.looked + 1]
    if ready and #claimed < room then
      local key = string.match(ready, '^%d+ [^%z]*%z(.*)$', #company.name + 2)
      company.looked = company.looked + 1
      if runs(key) then
        redis.call('ZREM', READY, ready)
      else
        is_taken[key] = true
        claimed[#claimed + 1] = claim(company.name, ready)
        company.had = #claimed
      end
    end
  end
  return #claimed > before
end

-- Those who had their turn come behind all others; those leave that have nothing which may be claimed.
local function pass_on(companies)
  table.sort(companies, function(one, other)
    return one.had < other.had
  end)
  for _, company in ipairs(companies) do
    if company.had > 0 then
      to_the_end(company.name)
    elseif #company.ready == 0 then
      leave(company.name)
    end
  end
end

local claimed = {}

local function take_turns()
  write_ready()
  while #claimed < room do
    local companies = next_companies(room - #claimed)
    if #companies == 0 then
      break
    end
    while go_round(companies, claimed) do
    end
    write_down(claimed)
    pass_on(companies)
  end
end

local function until_next()
  local wait = -1
  for _, set in ipairs({ DUE, QUIET, RUNNING, STOPPED }) do
    local first = has_some(set) and redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
    if first and first ~= 'inf' then
      local left = math.max(0, tonumber(first) - now)
      wait = wait < 0 and left or math.min(wait, left)
    end
  end
  return wait
end

if not clock then
  redis.call('SET', CLOCK, stamp(now))
end
local taken = take_back()
local keying = redis.call('HGET', READ, 'keying')
local is_ours = ARGV[8] == '' or not keying or keying == ARGV[8]
if not is_ours then
  room = 0 -- by the worker's rule, nobody knows what may run beside what
end
take_turns() -- what is ready goes before what has just become due: else an event tried again at once, and again, is all
if promote() then
  take_turns()
end
if #claimed == room then
  wake() -- there may be more, for others
end
local last = redis.call('XREVRANGE', WAKE, '+', '-', 'COUNT', 1)[1]
return { claimed, until_next(), last and last[1] or '0-0', taken, is_ours and redis.call('EXISTS', MOVER) or 2 }
