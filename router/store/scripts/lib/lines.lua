-- The lines of a keyed subscription: the events of each key that wait or run, in order. The scripts of lines/ share it.
--
-- KEYS of each of them:
--   LINES    sorted set, all of score 0: `key NUL ref`. So the events of a key stand together, in order of their refs
--   BODIES   hash: `company NUL id NUL at NUL doomed NUL packed fields` by ref; behind at, SPACE and the generation where
--            it has one; doomed is 1 where it is to be dead, else 0; behind that, where it has failed, from when on it waits
--            for its turn again (epoch milliseconds); behind that, where there is any, `SPACE tried SPACE before`: how often
--            it was tried, and how many further events it has stood for, as a replayed dead letter may
--   READY    sorted set, all of score 0: `company NUL since SPACE ref NUL key`, for each key whose first event may be
--            handled now; since: when that was accepted, or from when on it waits for its turn again
--   TURNS    sorted set: companies that have ready keys, by when it is their turn
--   DUE      sorted set: keys whose first event is tried again, by when (epoch milliseconds)
--   QUIET    sorted set: keys that wait for more to merge, by until when
--   RUNNING  sorted set: keys that a worker has, by when its hold has to be renewed
--   OWNERS   hash: `started doubted token NUL company NUL ref` by running key; see `owner_of`
--   BUSY     sorted set, all of score 0: `company NUL key` of what runs, where companies are limited
--   HELD     sorted set: keys that wait for an operator, by since when
--   STOPPED  sorted set: companies that an operator has paused, by until when
--   CRASHED  hash: how many workers are thought to have died of an event, by ref
--   LENGTH   hash: how many events of a stream are in the lines
--   READ     hash: the last entry that was brought from a stream or an inbox, by its key; `most`: how many events one
--            delivery may stand for, `limit`: how many of one company may run at once, as the worker says that brings them; `keying`: what names the rule by which the keys
--            were made, empty while another rule makes them again, and then no key is claimed
--   MOVER    string: the token of the one worker that brings events, while its lease lasts
--   WAKE     stream: an entry says that something has become ready
--   CLOCK    string: what time it was when one of the scripts ran last
--   TRIALS   hash: `first last times token` by the key of a stream or an inbox: the places of the entries for which a user's
--            key function was begun and has not ended, by how many workers so far, and by which last; see try.lua
--   PAUSES   hash: `since NUL by NUL reason` of a pause (epoch milliseconds), by paused company
--
-- A ref is `milliseconds-number` of the entry in its stream, with leading zeros, for one that was replayed `.` and its
-- entry in the inbox, then `m` where the event may be merged into a later one, else `o`, and `/STREAM`. So refs sort in
-- the order in which the store took the events.
--
-- A key that has events is in exactly one of READY, DUE, QUIET and RUNNING, or it is in HELD; in that and in RUNNING while
-- an operator ends its first event. One without is in none, except HELD.
local LINES, BODIES, READY, TURNS, DUE, QUIET, RUNNING, OWNERS, BUSY, HELD, STOPPED, CRASHED, LENGTH, READ, MOVER, WAKE,
  CLOCK, TRIALS, PAUSES = unpack(KEYS)

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local has_woken = false
local SLACK = 1000 -- by so much two clocks may differ, milliseconds

local function stamp(millis)
  return string.format('%.0f', millis)
end

-- the two ends of all members that begin with these words
local function span(words)
  return '[' .. words .. '\0', '(' .. words .. '\1'
end

local function first_of(set, words)
  local from, to = span(words)
  local found = redis.call('ZRANGEBYLEX', set, from, to, 'LIMIT', 0, 1)[1]
  return found and string.sub(found, #words + 2)
end

local function last_of(set, words)
  local from, to = span(words)
  local found = redis.call('ZREVRANGEBYLEX', set, to, from, 'LIMIT', 0, 1)[1]
  return found and string.sub(found, #words + 2)
end

-- Shows `visit` the first member of each group, and what comes behind the group's name in it; of so many groups from here
-- on. Returns the last one if there may be more, else ''.
local function each_first(set, from, most, visit)
  local group = ''
  for _ = 1, most do
    local member = redis.call('ZRANGEBYLEX', set, from, '+', 'LIMIT', 0, 1)[1]
    if not member then
      return ''
    end
    group = string.match(member, '^[^%z]*')
    visit(group, string.sub(member, #group + 2))
    from = '(' .. group .. '\1'
  end
  return group
end

local function number_of(set, words)
  return redis.call('ZLEXCOUNT', set, span(words))
end

-- Most of the time these have nothing: it is asked once for each script.
local some = {}
local function has_some(key)
  if some[key] == nil then
    some[key] = redis.call('EXISTS', key) == 1
  end
  return some[key]
end

local function may_be_merged(ref)
  return string.match(ref, '^[%d.-]+(.)') == 'm'
end

local function millis_of(ref)
  return tonumber(string.match(ref, '^%d+'))
end

-- Returns when an event came to its stream or, replayed, to the inbox.
local function came(ref)
  return tonumber(string.match(ref, '^[%d-]+%.(%d+)') or string.match(ref, '^%d+'))
end

-- Returns when the oldest event of a key came, behind the first `skipped`; nothing where there is none. What was replayed
-- stands before others that came earlier; of very many of these only the first are looked at.
local function oldest_of(key, skipped)
  local from, to = span(key)
  local at, count, oldest = skipped or 0, 1, nil
  while true do
    local members = redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', at, count)
    for _, member in ipairs(members) do
      local ref = string.sub(member, #key + 2)
      local when = came(ref)
      if when and (not oldest or when < oldest) then
        oldest = when
      end
      if not string.match(ref, '^[%d-]+%.') then
        return oldest
      end
    end
    if #members < count or count > 1 then
      return oldest
    end
    at, count = at + 1, 100
  end
end

-- Companies take turns: one that has just become ready, and one that just had its turn, comes behind all others.
local last_turn
local function to_the_end(company)
  last_turn = last_turn or tonumber(redis.call('ZRANGE', TURNS, -1, -1, 'WITHSCORES')[2] or 0)
  last_turn = last_turn + 1
  redis.call('ZADD', TURNS, stamp(last_turn), company)
end

local joined = {}
local function join(company)
  if not joined[company] and not redis.call('ZSCORE', TURNS, company) then
    to_the_end(company)
  end
  joined[company] = true
  has_woken = true
end

local function leave(company)
  redis.call('ZREM', TURNS, company)
  joined[company] = nil
end

-- Returns the member of READY that a key has whose first event is this one of a company, `again`: from when on that waits
-- for its turn again.
local function member_of(key, ref, company, again)
  local since = math.max(millis_of(ref), tonumber(again) or 0)
  return company .. '\0' .. string.format('%015.0f ', since) .. ref .. '\0' .. key
end

-- Returns that, and whose the event is, as its body says.
local function member_by(key, ref, body)
  local company, again = string.match(body or '', '^([^%z]*)%z?[^%z]*%z?[^%z]*%z?[^%z]?(%d*)')
  return member_of(key, ref, company, again), company
end

local function ready_member(key, ref)
  return member_by(key, ref, redis.call('HGET', BODIES, ref))
end

-- Calls a command of a key for so many members, with as many in a command as it can have; returns what it replies to each.
local function call_many(command, key, members)
  if #members <= 1000 then
    return #members > 0 and redis.call(command, key, unpack(members)) or {}
  end
  local replies = {}
  for first = 1, #members, 1000 do
    local reply = redis.call(command, key, unpack(members, first, math.min(#members, first + 999)))
    for i, one in ipairs(type(reply) == 'table' and reply or {}) do
      replies[first + i - 1] = one
    end
  end
  return replies
end

-- Keys become ready together, at the end of a script, or before it looks at READY: see write_ready.
local ready, ready_keys, ready_refs = {}, {}, {}

local function make_ready(key, ref, company)
  if company then
    ready[#ready + 1], ready[#ready + 2] = 0, member_of(key, ref, company)
    join(company)
  else
    ready_keys[#ready_keys + 1], ready_refs[#ready_refs + 1] = key, ref
  end
end

local function write_ready()
  for i, body in ipairs(call_many('HMGET', BODIES, ready_refs)) do
    local member, company = member_by(ready_keys[i], ready_refs[i], body)
    ready[#ready + 1], ready[#ready + 2] = 0, member
    join(company)
  end
  call_many('ZADD', READY, ready)
  ready, ready_keys, ready_refs = {}, {}, {}
end

-- When the events of a key may be handled: `quiet` after the last, at most `within` after the first (milliseconds). Where
-- a clock was ahead, nobody knows for how long the first has waited: `before`, until when it waited, is not put off then.
local function quiet_until(key, head, quiet, within, before)
  if quiet == 0 or not may_be_merged(head) then
    return 0
  end
  local last = millis_of(last_of(LINES, key))
  local at = math.min(last + quiet, millis_of(head) + within, now + within)
  return before and last > now + SLACK and math.min(at, before) or at
end

-- Puts a key that is nowhere to where its first event belongs; one without events is done with. `before`: until when it
-- has waited. `head` and `company`: its first event and whose that is, where it is new.
local function queue(key, quiet, within, before, head, company)
  head = head or first_of(LINES, key)
  if not head or has_some(HELD) and redis.call('ZSCORE', HELD, key) then
    return
  end
  local at = quiet_until(key, head, quiet, within, before)
  if at > now then
    redis.call('ZADD', QUIET, stamp(at), key)
    some[QUIET] = true
    has_woken = true
  else
    make_ready(key, head, company)
  end
end

-- Returns what is known of who runs a key: its token, the company, the ref that it handles, whether that was started (as
-- far as anybody knows: only of a suspect it is written down), whether the hold is in doubt.
local function read_owner(text)
  if text then
    local started, doubted, token, company, ref = string.match(text, '^(.)(.)([^%z]*)%z([^%z]*)%z(.*)$')
    return { token = token, company = company, ref = ref, started = started == '1', doubted = doubted == '1' }
  end
end

local function owner_of(key)
  return read_owner(redis.call('HGET', OWNERS, key))
end

local function owner_text(owner)
  local flags = (owner.started and '1' or '0') .. (owner.doubted and '1' or '0')
  return flags .. owner.token .. '\0' .. owner.company .. '\0' .. owner.ref
end

local function own(key, owner)
  redis.call('HSET', OWNERS, key, owner_text(owner))
end

-- Returns the owner of a key if it is this one.
local function owned(key, token)
  local owner = owner_of(key)
  return owner and owner.token == token and owner
end

-- Makes room for another key of the company that a key is of which runs no more.
local function make_room(key, owner)
  if has_some(BUSY) and redis.call('ZREM', BUSY, owner.company .. '\0' .. key) == 1 and first_of(READY, owner.company) then
    join(owner.company)
  end
end

local function let_go(key, owner)
  redis.call('ZREM', RUNNING, key)
  redis.call('HDEL', OWNERS, key)
  make_room(key, owner)
end

-- Returns an owner for a key of which somebody deleted that manually: nothing is known but whose room it takes.
local function unknown_owner(key)
  local owner, last = { company = '', ref = '' }, '\0' .. key
  for _, member in ipairs(has_some(BUSY) and redis.call('ZRANGE', BUSY, 0, -1) or {}) do
    if string.sub(member, -#last) == last then
      owner.company = string.sub(member, 1, -#last - 1)
    end
  end
  return owner
end

-- Takes a key away from a worker that is gone. A suspect counts only if it was started: see recover.lua.
local function recover(key, owner, quiet, within)
  owner = owner or unknown_owner(key)
  if owner.started then
    redis.call('HINCRBY', CRASHED, owner.ref, 1)
    some[CRASHED] = true
  end
  let_go(key, owner)
  queue(key, quiet, within)
end

-- Ends events, each a member of LINES and its ref; those that are there no more are left out, unless only their line was
-- deleted manually.
local function remove(members, refs)
  local gone, lengths = {}, {}
  for i, score in ipairs(call_many('ZMSCORE', LINES, members)) do
    if score or redis.call('HGET', BODIES, refs[i]) then
      local stream = string.match(refs[i], '/(.*)')
      gone[#gone + 1] = refs[i]
      lengths[stream] = (lengths[stream] or 0) + 1
    end
  end
  call_many('ZREM', LINES, members)
  call_many('HDEL', BODIES, gone)
  if has_some(CRASHED) then
    call_many('HDEL', CRASHED, gone)
  end
  for stream, number in pairs(lengths) do
    if redis.call('HINCRBY', LENGTH, stream, -number) <= 0 then
      redis.call('HDEL', LENGTH, stream)
    end
  end
end

-- Takes an event out of its line, whatever its state; the next of its key may go then. Returns the event's company.
local function take_out(key, ref, owner)
  local is_first = first_of(LINES, key) == ref
  local member, company = ready_member(key, ref)
  remove({ key .. '\0' .. ref }, { ref })
  if is_first and not owner then
    redis.call('ZREM', READY, member)
    redis.call('ZREM', DUE, key)
    redis.call('ZREM', QUIET, key)
    queue(key, 0, 0)
    write_ready()
  end
  return company
end

-- Returns the event that stands for as many as may be merged, at most so many with it and with what these have stood for
-- before, and those: ref, `company NUL id NUL at`, ref, … In place of that the whole body of each that has stood for
-- others, and of the one that was tried most often, where that is more than the event itself was: so a delivery begins
-- with what was known of all. What is to be a dead letter ends them.
local function merged(key, head, most)
  if most < 2 or not may_be_merged(head) then
    return head, {}
  end
  local from, to = span(key)
  local others, number, newest, most_tried = {}, 0, nil, { tried = 0 }
  for _, member in ipairs(redis.call('ZRANGEBYLEX', LINES, from, to, 'LIMIT', 0, most)) do
    local ref = string.sub(member, #key + 2)
    if not may_be_merged(ref) then
      break
    end
    local body = redis.call('HGET', BODIES, ref) or ''
    local said, doomed, tried, before =
      string.match(body, '^([^%z]*%z[^%z]*%z[^%z]*)%z([^%z]?)%d* ?(%d*) ?(%d*)[^%z]*%z')
    before = doomed ~= '1' and tonumber(before) or 0
    number = number + 1 + before
    if newest and number > most then
      break
    end
    if newest and newest.tried > 0 and newest.tried >= most_tried.tried then
      most_tried = newest
    end
    others[#others + 1], others[#others + 2] = ref, before > 0 and body or said or ''
    newest = { ref = ref, body = body, tried = tonumber(tried) or 0, at = #others }
    if doomed == '1' then
      break
    end
  end
  if not newest then
    return head, {}
  end
  table.remove(others)
  table.remove(others)
  if most_tried.tried > newest.tried then
    others[most_tried.at] = most_tried.body
  end
  return newest.ref, others
end

local function wake()
  write_ready()
  if has_woken then
    redis.call('XADD', WAKE, 'MAXLEN', 1, '*', 'ready', '')
  end
end
