-- For each script that ends events or lets keys go, behind lib/lines.lua: it has to go on where the memory of the server
-- is full. A server refuses a script's first write then if that may take memory, and lets the others pass; this one
-- changes nothing, and may not.
redis.call('ZREM', RUNNING, '')
