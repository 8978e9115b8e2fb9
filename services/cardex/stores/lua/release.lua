-- ARGV: id, token, counted (1: this attempt counts, 0: the job is not at fault), max attempts, error, job ttl ms
-- Returns the new state, or '' where the claim was lost.
local id, token, counted, max_attempts, error, ttl_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
if not held(id, token) then return '' end
local priority = redis.call('HGET', job_key(id), 'priority')
if counted == '0' then
  redis.call('HINCRBY', job_key(id), 'attempts', -1)
  max_attempts = math.huge
end
return retry(id, priority, max_attempts, error, ttl_ms)
