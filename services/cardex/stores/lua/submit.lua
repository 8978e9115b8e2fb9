-- KEYS: none. ARGV: id, owner, priority, payload sha, payload ('' keeps the stored one), payload ttl ms,
-- question, request key ('' for none), fingerprint, max backlog, latch ms, job ttl ms, answer ('' for none)
-- Returns {outcome, job id, wake, now ms}: NEW, KNOWN (same request_id), REUSED (same request_id, other ECG) or FULL.
local id, owner, priority, sha, payload, payload_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local question, request, fingerprint = ARGV[7], ARGV[8], ARGV[9]
local max_backlog, latch_ms, ttl_ms, answer = tonumber(ARGV[10]), ARGV[11], ARGV[12], ARGV[13]

-- The client sends a call again whose reply was lost: it was made already.
if redis.call('EXISTS', job_key(id)) == 1 then return {'NEW', id, 0, now_ms} end

if request ~= '' then
  local known = redis.call('GET', P .. 'request:' .. request)
  if known then
    local stored = redis.call('HGET', job_key(known), 'fingerprint')
    if stored == fingerprint then return {'KNOWN', known, 0, now_ms} end
    if stored then return {'REUSED', known, 0, now_ms} end
  end
end
if answer == '' and redis.call('LLEN', queue_key(priority)) >= max_backlog then
  return {'FULL', '', 0, now_ms}
end

if answer == '' then
  if redis.call('PEXPIRE', payload_key(sha), payload_ttl) == 0 then
    redis.call('SET', payload_key(sha), payload, 'PX', payload_ttl)
  end
end
-- A job that is answered at once lets go in the same step.
redis.call('INCR', uses_key(sha))
redis.call('PEXPIRE', uses_key(sha), payload_ttl)
redis.call('HSET', job_key(id), 'owner', owner, 'priority', priority, 'payload', sha, 'question', question,
  'fingerprint', fingerprint, 'request', request, 'attempts', 0, 'submitted', now_ms, 'token', '')
if request ~= '' then redis.call('SET', P .. 'request:' .. request, id) end
if answer ~= '' then
  move(id, 'SUCCEEDED', ttl_ms, 'result', answer)
  return {'NEW', id, 0, now_ms}
end
move(id, 'QUEUED', nil)
redis.call('LPUSH', queue_key(priority), id)
return {'NEW', id, take_latch(priority, latch_ms), now_ms}
