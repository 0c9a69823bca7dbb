-- Has the lines know by which function keys are made. Where that is another one than so far and there are events, no key
-- is claimed until this is called once more, when the keys were made again.
--
-- KEYS     see lib/lines.lua
-- ARGV[1]  token of the lease of who brings events
-- ARGV[2]  what names the function
-- ARGV[3]  '1' where the keys were made again, or need not be
-- Reply    { how many events their keys are to be made again of; how many keys run still }, { 0, 0 } where all is done;
--          nothing where another worker has the lease
--- lib/lines.lua
--- lib/frees.lua
if redis.call('GET', MOVER) ~= ARGV[1] then
  return false
end
if redis.call('HGET', READ, 'keying') == ARGV[2] then
  return { 0, 0 }
end
if ARGV[3] == '1' or redis.call('EXISTS', LINES) == 0 then
  redis.call('HSET', READ, 'keying', ARGV[2])
  has_woken = true
  wake()
  return { 0, 0 }
end
redis.call('HSET', READ, 'keying', '')
return { redis.call('ZCARD', LINES), redis.call('ZCARD', RUNNING) }
