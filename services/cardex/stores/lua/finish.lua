-- ARGV: id, token, state (SUCCEEDED or FAILED), field (result or error), value, job ttl ms
-- Returns 1 where the result was written, 0 where the claim was lost: an answer is written once.
local id, token, state, field, value, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not held(id, token) then return 0 end
redis.call('ZREM', running_key(redis.call('HGET', job_key(id), 'priority')), id)
move(id, state, ttl_ms, field, value, 'token', '')
return 1
