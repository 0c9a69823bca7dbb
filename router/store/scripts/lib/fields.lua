-- The names of an entry's fields, for the scripts that read or write some; router/store/record.py says what they hold.
local ID, DELAY, ATTEMPTS, CRASHES, HISTORY, REASON, ORIGIN, EVENT, ORDER, DEFERRED, GENERATION =
  'id', 'delay', 'attempts', 'crashes', 'history', 'reason', 'origin', 'event', 'order', 'deferred', 'generation'
local OURS = {
  [ID] = true, [DELAY] = true, [ATTEMPTS] = true, [CRASHES] = true, [HISTORY] = true, [REASON] = true, [ORIGIN] = true,
  [EVENT] = true, [ORDER] = true, [DEFERRED] = true, [GENERATION] = true, merged = true, at = true, raw = true,
  hints = true, trace = true,
  tried = true, key = true,
}
