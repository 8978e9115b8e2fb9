-- ARGV: priority, how many, token, lease ms, latch ms
-- Returns {wake, id, fields, payload, id, fields, payload, ...}; a payload that has expired is nil. A job that was
-- begun before is claimed alone, so that one that kills its worker takes no other with it.
local priority, want, token, lease_ms, latch_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local queue, running = queue_key(priority), running_key(priority)
redis.call('DEL', latch_key(priority))
local claimed = {0}
local count = 0
while count < want do
  local id = redis.call('RPOP', queue)
  if not id then break end
  local job = redis.call('HMGET', job_key(id), 'state', 'attempts', 'payload')
  if job[1] == 'QUEUED' then
    local begun = tonumber(job[2]) > 0
    if begun and count > 0 then
      redis.call('RPUSH', queue, id)
      break
    end
    redis.call('HINCRBY', job_key(id), 'attempts', 1)
    move(id, 'RUNNING', nil, 'token', token)
    redis.call('ZADD', running, now_ms + lease_ms, id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = redis.call('HGETALL', job_key(id))
    claimed[#claimed + 1] = redis.call('GET', payload_key(job[3]))
    count = count + 1
    if begun then break end
  end
end
if redis.call('LLEN', queue) > 0 then claimed[1] = take_latch(priority, latch_ms) end
return claimed
