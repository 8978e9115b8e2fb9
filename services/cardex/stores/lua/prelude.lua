-- Shared by every script: names of keys, the clock, and the one way to change a job's state.
local P = 'cardex:'
local EVENTS = P .. 'events'
local function job_key(id) return P .. 'job:' .. id end
local function queue_key(priority) return P .. 'queue:' .. priority end
local function running_key(priority) return P .. 'running:' .. priority end
local function latch_key(priority) return P .. 'wake:' .. priority end
local function payload_key(sha) return P .. 'payload:' .. sha end
local function uses_key(sha) return P .. 'uses:' .. sha end

local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- An ECG's bytes are kept until the last job that needs them is final.
local function let_payload_go(sha)
  if redis.call('DECR', uses_key(sha)) <= 0 then redis.call('DEL', uses_key(sha), payload_key(sha)) end
end

-- Moves a job to a state and tells the watchers. A final job, and its request_id, are kept for ttl_ms.
local function move(id, state, ttl_ms, ...)
  local key = job_key(id)
  redis.call('HSET', key, 'state', state, 'updated', now_ms, ...)
  local job = redis.call('HMGET', key, 'owner', 'request', 'payload')
  if ttl_ms then
    redis.call('PEXPIRE', key, ttl_ms)
    let_payload_go(job[3])
    if job[2] ~= '' then redis.call('PEXPIRE', P .. 'request:' .. job[2], ttl_ms) end
  end
  redis.call('XADD', EVENTS, 'MAXLEN', '~', 100000, '*', 'job', id, 'state', state, 'owner', job[1])
end

-- True for the one caller that has to send a wake-up. The latch opens when a worker takes it, or by
-- itself when the wake-up was lost.
local function take_latch(priority, latch_ms)
  return redis.call('SET', latch_key(priority), 1, 'NX', 'PX', latch_ms) and 1 or 0
end

-- Back to the head of its queue, or to its end in failure when it was tried often enough.
local function retry(id, priority, max_attempts, error, ttl_ms)
  local attempts = tonumber(redis.call('HGET', job_key(id), 'attempts'))
  redis.call('ZREM', running_key(priority), id)
  if attempts >= max_attempts then
    move(id, 'FAILED', ttl_ms, 'token', '', 'error', error)
    return 'FAILED'
  end
  move(id, 'QUEUED', nil, 'token', '')
  redis.call('RPUSH', queue_key(priority), id)
  return 'QUEUED'
end

-- True where the job is RUNNING under this token.
local function held(id, token)
  local job = redis.call('HMGET', job_key(id), 'state', 'token')
  return job[1] == 'RUNNING' and job[2] == token
end
