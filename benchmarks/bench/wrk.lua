-- Sends prepared requests, each once: arguments are their file and how many to pass over. WRK_OUTCOME names the file of
-- the outcome.
local requests, thread_of_all = {}, nil
used = 0

function setup(thread)
  thread_of_all = thread
end

function init(arguments)
  local file = assert(io.open(arguments[1], 'rb'))
  local skip, number = tonumber(arguments[2]), 0
  for request in file:read('*a'):gmatch('[^%z]+') do
    number = number + 1
    if number > skip then
      requests[#requests + 1] = request
    end
  end
  file:close()
  left = #requests
end

function request()
  used = used + 1
  left = left - 1
  if left < 1 then
    wrk.thread:stop()
    return requests[#requests]
  end
  return requests[used]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local file = assert(io.open(os.getenv('WRK_OUTCOME'), 'w'))
  file:write(string.format(
    '{"seconds": %.6f, "requests": %d, "failed": %d, "left": %d, "p50": %.3f, "p99": %.3f}',
    summary.duration / 1e6, summary.requests, failed, thread_of_all:get('left'),
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
  file:close()
end
