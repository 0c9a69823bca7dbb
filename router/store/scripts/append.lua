-- Appends each item that was not seen within the deduplication window.
--
-- The marker is written after the entry: if the server refuses the append (out of memory, wrong type),
-- no marker stays behind that would make the sender's next try look like a duplicate.
--
-- A marker holds the id of the entry, and from byte 48 on, in four bytes, how many duplicates there were, if any. That
-- this cannot be written (out of memory) does not matter: a duplicate stays one.
--
-- KEYS[1]    stream to append to
-- KEYS[2..]  marker of each item, in order
-- ARGV[1]    time to live of a marker, milliseconds
-- ARGV[2]    n, how many field-and-value arguments one item has; 0 where they differ: then ARGV[3..] has the number of
--            each item first
-- ARGV[3..]  the items, n arguments each
-- Reply      for each item the id of its new entry, or an empty string where it is a duplicate
local ttl, width = ARGV[1], tonumber(ARGV[2])
local reply, first = {}, width == 0 and #KEYS + 2 or 3
for i = 2, #KEYS do
  local last = first + (width == 0 and tonumber(ARGV[i + 1]) or width) - 1
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.pcall('BITFIELD', KEYS[i], 'OVERFLOW', 'SAT', 'INCRBY', 'u32', '#12', 1)
    reply[i - 1] = ''
  else
    local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, first, last))
    redis.call('SET', KEYS[i], id, 'PX', ttl)
    reply[i - 1] = id
  end
  first = last + 1
end
return reply
