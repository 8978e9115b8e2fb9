-- ARGV: priority, how many, token, lease ms, latch ms, idle ms (0 for a worker that does not wait at the bell),
-- share: of what waits, one share-th is taken, but not less than LEAST
-- Returns {wake, id, fields, payload, id, fields, payload, ...}; a payload that has expired is nil. A job that was
-- begun before is claimed alone, so that one that kills its worker takes no other with it. A worker that finds
-- nothing stands idle under its token until it claims again.
local priority, want, token, lease_ms, latch_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local idle_ms = tonumber(ARGV[6])
local LEAST = 8
want = math.min(want, math.max(LEAST, math.ceil(waiting(priority) / tonumber(ARGV[7]))))
redis.call('DEL', latch_key(priority))
redis.call('ZREM', idle_key(priority), token)
local claimed = {0}
local count = 0
local skipped = 0
while count < want and skipped < MOST_SKIPPED do
  local id, owner = next_waiting(priority)
  if not owner then break end
  local job = id and redis.call('HMGET', job_key(id), 'state', 'attempts', 'payload')
  if job and job[1] == 'QUEUED' then
    local begun = tonumber(job[2]) > 0
    if begun and count > 0 then
      waits(priority, owner, id, 'RPUSH')
      is_next(priority, owner)
      break
    end
    redis.call('HINCRBY', job_key(id), 'attempts', 1)
    move(id, 'RUNNING', nil, 'token', token)
    redis.call('ZADD', running_key(priority), now_ms + lease_ms, id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = redis.call('HGETALL', job_key(id))
    claimed[#claimed + 1] = redis.call('GET', payload_key(job[3]))
    count = count + 1
    if begun then break end
  else
    skipped = skipped + 1
  end
end
if count == 0 and idle_ms > 0 then redis.call('ZADD', idle_key(priority), now_ms + idle_ms, token) end
if redis.call('LLEN', turns_key(priority)) > 0 then claimed[1] = wake(priority, latch_ms) end
tell_changes()
return claimed
