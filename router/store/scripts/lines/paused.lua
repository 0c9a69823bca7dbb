-- Lists the companies that an operator has paused.
--
-- KEYS     see lib/lines.lua
-- Reply    for each { company, until when (epoch milliseconds, or 'inf'), the entry of PAUSES or '' }
--- lib/lines.lua
local rows = {}
local found = redis.call('ZRANGEBYSCORE', STOPPED, '(' .. stamp(now), '+inf', 'WITHSCORES')
for i = 1, #found, 2 do
  rows[#rows + 1] = { found[i], found[i + 1], redis.call('HGET', PAUSES, found[i]) or '' }
end
return rows
