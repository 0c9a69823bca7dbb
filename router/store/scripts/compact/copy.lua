-- Copies the next entries of a stream behind those that its copy has already, with their ids.
--
-- A server that removes an entry only marks it so: its bytes stay for as long as others of the same node do, in memory and
-- in every file that the server writes. They are in no copy.
--
-- KEYS[1]  stream
-- KEYS[2]  the copy
-- ARGV[1]  how many entries to copy at most
-- ARGV[2]  the entry to stop before, or '+'
-- ARGV[3]  how many of the next ARGV are fields and values that the entry to stop before has, 0 to leave it to the next call
-- ARGV[4..] these; then the fields and values that it has in the copy, which gets it behind all that come before
-- Reply    { how many were copied, about how many bytes these had }; -1 where the entry is not as it was any more, or
--          another process makes this copy and is further
--- lib/fields.lua
--- lib/bounded.lua
local function is_as_it_was(fields)
  local named = {}
  for i = 1, #fields, 2 do
    named[fields[i]] = fields[i + 1]
  end
  for i = 4, 3 + tonumber(ARGV[3]), 2 do
    if named[ARGV[i]] ~= ARGV[i + 1] then
      return false
    end
  end
  return true
end

local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local upto = ARGV[2] == '+' and '+' or '(' .. ARGV[2]
local entries = redis.call('XRANGE', KEYS[1], last and '(' .. last[1] or '-', upto, 'COUNT', ARGV[1])
local size = 0
for _, entry in ipairs(entries) do
  local fields = entry[2]
  redis.call('XADD', KEYS[2], entry[1], unpack(#fields > 4000 and bounded(fields) or fields))
  for _, part in ipairs(fields) do
    size = size + #part
  end
end
if tonumber(ARGV[3]) > 0 and #entries < tonumber(ARGV[1]) then
  local now = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
  local is_further = #redis.call('XRANGE', KEYS[2], ARGV[2], '+', 'COUNT', 1) > 0
  if is_further or now and not is_as_it_was(now[2]) then
    return { -1, 0 }
  elseif now then
    redis.call('XADD', KEYS[2], ARGV[2], unpack(ARGV, 4 + tonumber(ARGV[3])))
  end
end
if #entries > 0 or tonumber(ARGV[3]) > 0 then
  redis.call('PEXPIRE', KEYS[2], 3600000) -- a process that was killed leaves it behind
end
return { #entries, size }
