-- For each script that changes lines, behind lib/lines.lua: whether the server's clock was set back since the last one.
-- The server's clock was set back, or this is another server: what lies ahead would be further away than it was.
local function set_back(by)
  for _, set in ipairs({ DUE, QUIET, RUNNING, STOPPED }) do
    local members = redis.call('ZRANGE', set, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      if members[i + 1] ~= 'inf' then
        redis.call('ZADD', set, stamp(tonumber(members[i + 1]) - by), members[i])
      end
    end
  end
end

-- Before anything else: what was written by the new clock before would be brought nearer, too.
local clock = redis.call('GET', CLOCK)
local seen = tonumber(clock or 0) or 0
if now < seen - SLACK then
  set_back(seen - now)
end
redis.call('SET', CLOCK, stamp(now), 'XX') -- claim.lua begins it
