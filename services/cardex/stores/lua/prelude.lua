-- Shared by every script: names of keys, the clock, the queues, and the one way to change a job's state.
local P = 'cardex:'
local EVENTS = P .. 'events'
local RATE_S = 10
-- Longer than any worker says that it will stand idle: what lies further ahead is of another clock.
local IDLE_LIMIT_MS = 10000
-- Jobs that were cancelled while they waited, and that one step passes over.
local MOST_SKIPPED = 1000
local function job_key(id) return P .. 'job:' .. id end
local function queue_key(priority, owner) return P .. 'queue:' .. priority .. ':' .. owner end
local function turns_key(priority) return P .. 'turns:' .. priority end
local function waiting_key(priority) return P .. 'waiting:' .. priority end
local function running_key(priority) return P .. 'running:' .. priority end
local function latch_key(priority) return P .. 'wake:' .. priority end
local function idle_key(priority) return P .. 'idle:' .. priority end
local function message_key(priority) return P .. 'celery:' .. priority end
local function bell_key(priority) return P .. 'bell:' .. priority end
local function payload_key(sha) return P .. 'payload:' .. sha end
local function uses_key(sha) return P .. 'uses:' .. sha end

local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local period = math.floor(clock[1] / RATE_S)
local function ended_key(priority, when) return P .. 'ended:' .. priority .. ':' .. when end

-- An ECG's bytes are kept until the last job that needs them is final.
local function let_payload_go(sha)
  if redis.call('DECR', uses_key(sha)) <= 0 then redis.call('DEL', uses_key(sha), payload_key(sha)) end
end

-- Jobs of one owner that came to one state in this step are one event, told at the end of the script.
local changes, order = {}, {}
local function note_change(id, state, owner)
  local key = state .. ' ' .. owner
  if not changes[key] then
    changes[key] = {state = state, owner = owner, ids = {}}
    order[#order + 1] = key
  end
  local ids = changes[key].ids
  ids[#ids + 1] = id
end
local function tell_changes()
  for _, key in ipairs(order) do
    local change = changes[key]
    redis.call('XADD', EVENTS, 'MAXLEN', '~', 100000, '*', 'jobs', table.concat(change.ids, ' '), 'state', change.state,
      'owner', change.owner)
  end
end

-- Moves a job to a state. A final job, and its request_id, are kept for ttl_ms, but not the report to be filed.
local function move(id, state, ttl_ms, ...)
  local key = job_key(id)
  redis.call('HSET', key, 'state', state, 'updated', now_ms, ...)
  local job = redis.call('HMGET', key, 'owner', 'request', 'payload')
  if ttl_ms then
    redis.call('PEXPIRE', key, ttl_ms)
    redis.call('HDEL', key, 'filing')
    let_payload_go(job[3])
    if job[2] ~= '' then redis.call('PEXPIRE', P .. 'request:' .. job[2], ttl_ms) end
  end
  note_change(id, state, job[1])
end

-- Each owner has a queue of its own; `turns` has every owner with waiting jobs once, the next one at its right end.
local function waits(priority, owner, id, side)
  redis.call(side, queue_key(priority, owner), id)
  if redis.call('HINCRBY', waiting_key(priority), owner, 1) == 1 then redis.call('LPUSH', turns_key(priority), owner) end
end
local function waiting(priority)
  local total = 0
  for _, count in ipairs(redis.call('HVALS', waiting_key(priority))) do total = total + count end
  return total
end
-- Takes the next job of the owner whose turn it is; false where none waits.
local function next_waiting(priority)
  local owner = redis.call('RPOPLPUSH', turns_key(priority), turns_key(priority))
  if not owner then return false end
  local id = redis.call('RPOP', queue_key(priority, owner))
  if redis.call('HINCRBY', waiting_key(priority), owner, -1) <= 0 then
    redis.call('HDEL', waiting_key(priority), owner)
    redis.call('LREM', turns_key(priority), 0, owner)
  end
  return id, owner
end

-- Lets an owner with waiting jobs have the next turn.
local function is_next(priority, owner)
  redis.call('LREM', turns_key(priority), 0, owner)
  redis.call('RPUSH', turns_key(priority), owner)
end

-- Wakes a worker for waiting jobs: one that stands idle at the bell, else any by a message. Returns 1 for the one
-- caller that has to send it. The latch opens when a worker takes it, or by itself when the message was lost.
local function wake(priority, latch_ms)
  redis.call('ZREMRANGEBYSCORE', idle_key(priority), '-inf', now_ms)
  redis.call('ZREMRANGEBYSCORE', idle_key(priority), now_ms + IDLE_LIMIT_MS, '+inf')
  if redis.call('ZCARD', idle_key(priority)) == 0 then
    -- A message that no worker has taken yet will wake the next one that is free.
    if redis.call('LLEN', message_key(priority)) > 0 then return 0 end
    return redis.call('SET', latch_key(priority), 1, 'NX', 'PX', latch_ms) and 1 or 0
  end
  if redis.call('LLEN', bell_key(priority)) == 0 then redis.call('LPUSH', bell_key(priority), 1) end
  return 0
end

-- Back to the head of its queue, or to its end in failure when it was tried often enough.
local function retry(id, priority, max_attempts, error, ttl_ms)
  local job = redis.call('HMGET', job_key(id), 'attempts', 'owner')
  redis.call('ZREM', running_key(priority), id)
  if tonumber(job[1]) >= max_attempts then
    move(id, 'FAILED', ttl_ms, 'token', '', 'error', error)
    return 'FAILED'
  end
  move(id, 'QUEUED', nil, 'token', '')
  waits(priority, job[2], id, 'RPUSH')
  return 'QUEUED'
end

-- True where the job is RUNNING under this token.
local function held(id, token)
  local job = redis.call('HMGET', job_key(id), 'state', 'token')
  return job[1] == 'RUNNING' and job[2] == token
end

-- Counts jobs that ended, and returns how many did per second of late: 0 where none did.
local function count_ended(priority, count)
  local key = ended_key(priority, period)
  redis.call('INCRBY', key, count)
  redis.call('EXPIRE', key, 3 * RATE_S)
end
local function ended_per_s(priority)
  local seconds = RATE_S + clock[1] % RATE_S + 1
  local both = redis.call('MGET', ended_key(priority, period), ended_key(priority, period - 1))
  return ((tonumber(both[1]) or 0) + (tonumber(both[2]) or 0)) / seconds
end
