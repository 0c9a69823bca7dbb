-- Moves events into the lines of other keys, where each stands in the order of all; what a worker has stays.
--
-- KEYS      see lib/lines.lua
-- ARGV[1]   token of the lease of who brings events
-- ARGV[2]   quiet, milliseconds; 0 where nothing is merged
-- ARGV[3]   within, milliseconds
-- ARGV[4..] for each event, at most 100: its key so far; its ref; its key from now on
-- Reply     how many were moved; nothing where another worker has the lease
--- lib/lines.lua
--- lib/frees.lua
--- lib/line_clock.lua
if redis.call('GET', MOVER) ~= ARGV[1] then
  return false
end
local quiet, within = tonumber(ARGV[2]), tonumber(ARGV[3])

-- Takes a key from where it waits, with its first event as that is now; returns until when that is tried again.
local function take_up(key)
  local head, due = first_of(LINES, key), redis.call('ZSCORE', DUE, key)
  if head then
    redis.call('ZREM', READY, (ready_member(key, head)))
  end
  redis.call('ZREM', DUE, key)
  redis.call('ZREM', QUIET, key)
  return head, due
end

local function put_down(key, head, due)
  if due and first_of(LINES, key) == head and not redis.call('ZSCORE', HELD, key) then
    redis.call('ZADD', DUE, due, key)
    has_woken = true
  else
    queue(key, quiet, within)
  end
end

-- A retry stays due when it was, as long as it is the first of its line; what was held stays so.
local function move(from, ref, to)
  local head, due = take_up(from)
  local other, other_due = take_up(to)
  redis.call('ZREM', LINES, from .. '\0' .. ref)
  redis.call('ZADD', LINES, 0, to .. '\0' .. ref)
  if redis.call('ZSCORE', HELD, from) then
    redis.call('ZADD', HELD, 'NX', stamp(now), to)
    some[HELD] = true
    if not first_of(LINES, from) then
      redis.call('ZREM', HELD, from) -- nothing comes for it any more that an operator could release
    end
  end
  put_down(from, head, due)
  if head == ref and due and first_of(LINES, to) == ref then
    put_down(to, ref, due)
  else
    put_down(to, other, other_due)
  end
  write_ready() -- the next event may be of these keys, too
end

local function runs(key)
  return redis.call('ZSCORE', RUNNING, key)
end

local moved = 0
for i = 4, #ARGV, 3 do
  local from, ref, to = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if from ~= to and redis.call('ZSCORE', LINES, from .. '\0' .. ref) and not runs(from) and not runs(to) then
    move(from, ref, to)
    moved = moved + 1
  end
end
wake()
return moved
