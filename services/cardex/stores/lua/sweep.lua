-- ARGV: priority, max attempts, error, job ttl ms, latch ms
-- Takes back jobs whose worker died, and returns {requeued, failed, wake} for a queue that nobody was woken for.
local priority, max_attempts, error, ttl_ms, latch_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local expired = redis.call('ZRANGEBYSCORE', running_key(priority), '-inf', now_ms, 'LIMIT', 0, 1000)
local outcome = {QUEUED = 0, FAILED = 0}
for _, id in ipairs(expired) do
  if redis.call('HGET', job_key(id), 'state') == 'RUNNING' then
    local state = retry(id, priority, max_attempts, error, ttl_ms)
    outcome[state] = outcome[state] + 1
  else
    redis.call('ZREM', running_key(priority), id)
  end
end
-- Jobs of a release that kept one queue for all owners.
local common = P .. 'queue:' .. priority
for _ = 1, 1000 do
  local id = redis.call('RPOP', common)
  if not id then break end
  local owner = redis.call('HGET', job_key(id), 'owner')
  if owner then waits(priority, owner, id, 'LPUSH') end
end
local woken = 0
if redis.call('LLEN', turns_key(priority)) > 0 then woken = wake(priority, latch_ms) end
tell_changes()
return {outcome.QUEUED, outcome.FAILED, woken}
