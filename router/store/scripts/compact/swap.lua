-- Puts a copy in the place of its stream: the entries that came since, its groups with their consumers, and all that these
-- have in hand. What was removed from the stream since it was copied is removed from the copy.
--
-- Each step of it is of a bounded number, except what is in the hands of workers, and that is refused where it is too much.
--
-- KEYS[1]  stream
-- KEYS[2]  the copy, which copy.lua has made
-- ARGV[1]  how many entries may be missing in the copy
-- ARGV[2]  how many pages of so many entries to search for what was removed since
-- ARGV[3]  how many deliveries may be in hand
-- Reply    1: done; 0: more entries are missing; -1: more was removed than was found; -2: more is in hand
--- lib/fields.lua
--- lib/bounded.lua
local stream, copy = KEYS[1], KEYS[2]
local most, pages, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function named(row)
  local found = {}
  for i = 1, #row, 2 do
    found[row[i]] = row[i + 1]
  end
  return found
end

-- Returns whether what came since is in the copy.
local function complete()
  local last = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
  local rest = redis.call('XRANGE', stream, last and '(' .. last[1] or '-', '+', 'COUNT', most + 1)
  if #rest > most then
    return false
  end
  for _, entry in ipairs(rest) do
    redis.call('XADD', copy, entry[1], unpack(#entry[2] > 4000 and bounded(entry[2]) or entry[2]))
  end
  return true
end

-- Returns whether the copy has nothing that was removed since. It has all that the stream has: so they are the same
-- where they are of one length. What was removed is in front, most of the time.
local function cut()
  local left = redis.call('XLEN', stream)
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  redis.call('XTRIM', copy, 'MINID', first[1])
  local from = '-'
  for _ = 1, pages do
    if redis.call('XLEN', copy) == left then
      return true
    end
    local copied, known = redis.call('XRANGE', copy, from, '+', 'COUNT', most), {}
    if #copied == 0 then
      return false
    end
    local to = copied[#copied][1]
    for _, entry in ipairs(redis.call('XRANGE', stream, from, to, 'COUNT', most)) do
      known[entry[1]] = true
    end
    for _, entry in ipairs(copied) do
      if not known[entry[1]] then
        redis.call('XDEL', copy, entry[1])
      end
    end
    from = '(' .. to
  end
  return redis.call('XLEN', copy) == left
end

local function groups_of()
  local groups, pending = {}, 0
  for i, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    groups[i] = named(row)
    pending = pending + groups[i].pending
  end
  return groups, pending
end

local function hand_on(group)
  local from, count = '-', 100
  repeat
    local held = redis.call('XPENDING', stream, group, from, '+', count)
    for _, delivery in ipairs(held) do
      redis.call('XCLAIM', copy, group, delivery[2], 0, delivery[1], 'IDLE', delivery[3], 'RETRYCOUNT', delivery[4],
        'FORCE', 'JUSTID')
      from = '(' .. delivery[1]
    end
  until #held < count
end

-- By how many entries ever added, and read, the server tells a lag; nothing is missing any more that would keep it from
-- that. Where it did not know one, it will know it again once the group has read all.
local function make(group, added)
  local command = { 'XGROUP', 'CREATE', copy, group.name, group['last-delivered-id'] }
  if added and group.lag then
    command[#command + 1] = 'ENTRIESREAD'
    command[#command + 1] = added - group.lag
  end
  redis.call(unpack(command))
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group.name)) do
    redis.call('XGROUP', 'CREATECONSUMER', copy, group.name, named(row).name)
  end
  if group.pending > 0 then
    hand_on(group.name)
  end
end

if redis.call('XLEN', stream) == 0 then
  redis.call('UNLINK', copy)
  return 1 -- nothing is in it, removed or not
end
if not complete() then
  return 0
end
if not cut() then
  return -1
end
local groups, pending = groups_of()
if pending > room then
  return -2
end
local info = named(redis.call('XINFO', 'STREAM', stream))
local added = info['entries-added']
if added then
  redis.call('XSETID', copy, info['last-generated-id'], 'ENTRIESADDED', added, 'MAXDELETEDID', '0-0')
else
  redis.call('XSETID', copy, info['last-generated-id'])
end
for _, group in ipairs(groups) do
  make(group, added)
end
local ttl = redis.call('PTTL', stream)
redis.call('UNLINK', stream) -- in the background, however much it holds
redis.call('RENAME', copy, stream)
if ttl > 0 then
  redis.call('PEXPIRE', stream, ttl)
else
  redis.call('PERSIST', stream)
end
return 1
