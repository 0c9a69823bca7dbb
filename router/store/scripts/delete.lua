-- Deletes entries of an inbox that were brought into the lines of its subscription.
--
-- KEYS[1]    inbox
-- ARGV[1]    entry id; up to 100 of them
-- Reply      how many were there
return redis.call('XDEL', KEYS[1], unpack(ARGV))
