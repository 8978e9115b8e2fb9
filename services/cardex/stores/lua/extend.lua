-- ARGV: token, lease ms, id, id, ... Keeps the leases of live claims.
local token, lease_ms = ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV do
  if held(ARGV[i], token) then
    local priority = redis.call('HGET', job_key(ARGV[i]), 'priority')
    redis.call('ZADD', running_key(priority), now_ms + lease_ms, ARGV[i])
  end
end
return 0
