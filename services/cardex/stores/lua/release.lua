-- ARGV: token, counted (1: this attempt counts, 0: the job is not at fault), max attempts, error, job ttl ms, then the
-- jobs' ids
-- Returns the new state of each, '' where the claim was lost.
local token, counted, max_attempts, error, ttl_ms = unpack(ARGV, 1, 5)
local states = {}
for i = 6, #ARGV do
  local id = ARGV[i]
  if held(id, token) then
    local priority = redis.call('HGET', job_key(id), 'priority')
    if counted == '0' then redis.call('HINCRBY', job_key(id), 'attempts', -1) end
    states[#states + 1] = retry(id, priority, counted == '0' and math.huge or tonumber(max_attempts), error, ttl_ms)
  else
    states[#states + 1] = ''
  end
end
tell_changes()
return states
