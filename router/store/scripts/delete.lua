-- Deletes entries of an inbox that were brought into the lines of its subscription.
--
-- KEYS[1]    inbox
-- ARGV[1..]  entry ids, at most 100
-- Reply      how many were there
return redis.call('XDEL', KEYS[1], unpack(ARGV))
