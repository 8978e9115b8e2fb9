-- ARGV: id, job ttl ms. The queue keeps the id; a claim skips what is not QUEUED.
local id, ttl_ms = ARGV[1], ARGV[2]
local job = redis.call('HMGET', job_key(id), 'state', 'priority')
if job[1] ~= 'QUEUED' and job[1] ~= 'RUNNING' then return 0 end
redis.call('ZREM', running_key(job[2]), id)
move(id, 'CANCELLED', ttl_ms, 'token', '')
tell_changes()
return 1
