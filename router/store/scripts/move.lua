-- Takes one pending delivery out of a stream and puts it, with the given fields, into another stream of the same
-- subscription: the inbox (given back), the dead letters, or the parked bodies together with a due time (a retry).
-- Does nothing when the delivery is not pending with this consumer any more.
--
-- Those that are parked within one millisecond for as long become due in the order of their ids, which their text does
-- not have: '5-10' sorts before '5-9'. So the number within the millisecond is part of the due time, as thousandths.
--
-- The delay is kept with a body that is parked: should the server's clock be set back, its due time is too far away, and
-- that is how it is noticed (reschedule.lua).
--
-- KEYS[1]    stream the delivery is pending in
-- KEYS[2]    stream to put it into
-- KEYS[3]    optional: sorted set to schedule it in
-- ARGV[1]    consumer group
-- ARGV[2]    consumer
-- ARGV[3]    entry id
-- ARGV[4]    '1' to delete the entry from KEYS[1] (an inbox)
-- ARGV[5]    delay until due, milliseconds (used with KEYS[3])
-- ARGV[6..]  fields and values
-- Reply      the id of the new entry, or an empty string where the delivery was not this consumer's
--- lib/fields.lua
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #pending == 0 or pending[1][2] ~= ARGV[2] then
  return ''
end
if KEYS[3] then
  redis.call('ZCARD', KEYS[3]) -- of another type, it is an error before a body is parked for nothing
end
local id
if not KEYS[3] then
  id = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 6))
else
  id = redis.call('XADD', KEYS[2], '*', DELAY, ARGV[5], unpack(ARGV, 6))
  local now = redis.call('TIME')
  local due = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) + tonumber(ARGV[5])
  local number = math.min(999, tonumber(string.match(id, '%d+$')))
  redis.call('ZADD', KEYS[3], string.format('%.3f', due + number / 1000), id)
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] == '1' then
  redis.call('XDEL', KEYS[1], ARGV[3])
end
return id
