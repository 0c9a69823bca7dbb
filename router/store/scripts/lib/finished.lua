-- What every consumer group of a stream has finished, for the scripts that remove that or copy it elsewhere.

-- as text of one width: the numbers of an id have 64 bits, more than a number of Lua holds
local function order(id)
  local millis, number = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #millis) .. millis .. string.rep('0', 20 - #number) .. number
end

local function earlier(keep, found)
  return #found > 0 and order(found[1][1]) < order(keep) and found[1][1] or keep
end

-- Returns the first entry from `oldest` on that a group has not been given yet, or holds; `keep` where none is before it.
local function unfinished(stream, oldest, keep)
  if order(oldest) >= order(keep) then
    return keep
  end
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #fields, 2 do
      group[fields[i]] = fields[i + 1]
    end
    -- from the oldest entry on: a pending one that somebody deleted holds nothing back once it is the oldest
    keep = earlier(keep, redis.call('XPENDING', stream, group['name'], oldest, '+', 1))
    local delivered = group['last-delivered-id']
    if order(delivered) < order(keep) then
      keep = earlier(keep, redis.call('XRANGE', stream, '(' .. delivered, '+', 'COUNT', 1))
    end
  end
  return keep
end
