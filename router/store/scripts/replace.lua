-- Removes an entry and adds another in its place: only where the first is still there, so that who has read it long ago
-- brings back nothing of it; and once, by the marker of what is added.
--
-- KEYS[1]   stream
-- KEYS[2]   marker of what is added; its value is the id of the entry
-- ARGV[1]   the entry to remove
-- ARGV[2]   how long the marker is kept, milliseconds
-- ARGV[3..] fields and values of what is added
-- Reply     1, or 0 where the entry was gone
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3)), 'PX', ARGV[2])
end
return 1
