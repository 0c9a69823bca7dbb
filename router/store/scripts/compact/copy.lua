-- Copies the next entries of a stream behind those that its copy has already, with their ids.
--
-- A server that removes an entry only marks it so: its bytes stay for as long as others of the same node do, in memory and
-- in every file that the server writes. They are in no copy.
--
-- KEYS[1]  stream
-- KEYS[2]  the copy
-- ARGV[1]  how many entries to copy at most
-- ARGV[2]  the entry to stop before, or '+'
-- Reply    { how many were copied, about how many bytes these had }
--- lib/fields.lua
--- lib/bounded.lua
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
if #entries > 0 then
  redis.call('PEXPIRE', KEYS[2], 3600000) -- a process that was killed leaves it behind
end
return { #entries, size }
