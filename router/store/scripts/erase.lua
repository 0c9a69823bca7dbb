-- Removes entries of a stream for good, also those that a consumer has in hand: for every group they are finished, so that
-- no worker that has one can try it again or make a dead letter of it.
--
-- KEYS[1]    stream
-- KEYS[2]    optional: sorted set that schedules the entries
-- ARGV[1]    entry id; up to 100 of them
-- Reply      how many were there
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    for i = 1, #fields, 2 do
      if fields[i] == 'name' then
        redis.call('XACK', KEYS[1], fields[i + 1], unpack(ARGV))
      end
    end
  end
end
local removed = redis.call('XDEL', KEYS[1], unpack(ARGV))
if KEYS[2] then
  redis.call('ZREM', KEYS[2], unpack(ARGV))
end
return removed
