-- Pauses a subscription, or ends its pause. The last entry of the stream is what holds, and wakes the workers that wait
-- for it; a pause with an end goes with its key.
--
-- How long it lasts is kept with it: should the server's clock be set back, the key has too long to live.
--
-- KEYS[1]  stream of pauses
-- KEYS[2]  hash of the consumers that have confirmed the pause before
-- ARGV[1]  'pause' or 'resume'
-- ARGV[2]  how long it lasts, milliseconds; 0 until it is ended
-- ARGV[3]  by whom
-- ARGV[4]  why
-- Reply    the id of the entry
local id = redis.call('XADD', KEYS[1], 'MAXLEN', 4, '*', 'verb', ARGV[1], 'by', ARGV[3], 'reason', ARGV[4],
  'for', ARGV[2])
redis.call('UNLINK', KEYS[2])
if ARGV[1] == 'pause' and ARGV[2] == '0' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[1] == 'pause' and ARGV[2] or '86400000')
end
return id
