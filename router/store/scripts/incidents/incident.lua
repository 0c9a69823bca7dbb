-- Opens or ends an incident once, and appends its notice in the same step; or mutes incidents about one thing.
--
-- KEYS[1]  hash of the incidents that last: JSON by name, which is `kind/subject`
-- KEYS[2]  stream of notices: `incident` is that JSON, `over` says when it ended (epoch milliseconds) where it has
-- KEYS[3]  hash of the names that are muted: until when (epoch milliseconds, 0 for good) by name
-- ARGV[1]  'open', 'end', 'mute' or 'unmute'
-- ARGV[2]  the kind
-- ARGV[3]  the name
-- ARGV[4]  the time now, epoch milliseconds
-- ARGV[5]  most names of one kind that last, and most that are muted
-- ARGV[6]  about how many notices are kept
-- ARGV[7]  open: the JSON; end: when it ended; mute: until when
-- Reply    1 where this opened or ended it, or muted what was not muted, or unmuted what was; 0 where there was nothing
--          to do, or it is muted; -1 where there are too many
local verb, kind, name, now, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local function notice(...)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', ...)
end

local function muted()
  local till = redis.call('HGET', KEYS[3], name)
  if till and tonumber(till) > 0 and tonumber(till) <= now then
    redis.call('HDEL', KEYS[3], name)
    return false
  end
  return till
end

local function number_of(prefix)
  local found = 0
  for _, other in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(other, 1, #prefix) == prefix then
      found = found + 1
    end
  end
  return found
end

local does = {}

function does.open()
  local known = redis.call('HGET', KEYS[1], name)
  if muted() then
    return 0
  elseif known then
    if known ~= ARGV[7] then
      redis.call('HSET', KEYS[1], name, ARGV[7])
    end
    return 0
  elseif number_of(kind .. '/') >= most then
    return -1
  end
  redis.call('HSET', KEYS[1], name, ARGV[7])
  notice('incident', ARGV[7])
  return 1
end

does['end'] = function()
  local known = redis.call('HGET', KEYS[1], name)
  if not known then
    return 0
  end
  redis.call('HDEL', KEYS[1], name)
  notice('incident', known, 'over', ARGV[7])
  return 1
end

function does.mute()
  local was = muted()
  if not was and redis.call('HLEN', KEYS[3]) >= most then
    return -1
  end
  redis.call('HSET', KEYS[3], name, ARGV[7])
  redis.call('HDEL', KEYS[1], name)
  return was and 0 or 1
end

function does.unmute()
  return redis.call('HDEL', KEYS[3], name)
end

return does[verb]()
