-- ARGV: payload ttl ms, max backlog, max backlog of one owner, latch ms, job ttl ms, watermark (share of the memory
-- that routine jobs may fill), then for each job: id, owner, priority, payload sha, payload ('' keeps the stored one),
-- question, request key ('' for none), fingerprint, answer ('' for none), trace ('' for none), filing ('' for none).
-- Returns {now ms, wake stat, wake routine, outcome, job id or jobs ended per second, ...}. Outcomes: NEW, KNOWN (same
-- request_id), REUSED (same request_id, other ECG), FULL (the queue), OWNER_FULL, TIGHT (the memory).
local payload_ttl, max_backlog, max_own = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local latch_ms, ttl_ms, watermark = ARGV[4], ARGV[5], tonumber(ARGV[6])

local function memory_is_tight()
  local info = redis.call('INFO', 'memory')
  local limit = tonumber(string.match(info, '\nmaxmemory:(%d+)')) or 0
  local used = tonumber(string.match(info, '\nused_memory:(%d+)')) or 0
  return limit > 0 and used > watermark * limit
end
local tight = memory_is_tight()
local totals = {}

local function refusal(priority, owner, answer)
  if tight and priority == 'routine' then return 'TIGHT' end
  if answer ~= '' then return end
  totals[priority] = totals[priority] or waiting(priority)
  if totals[priority] >= max_backlog then return 'FULL' end
  if tonumber(redis.call('HGET', waiting_key(priority), owner) or 0) >= max_own then return 'OWNER_FULL' end
end

local function submit(id, owner, priority, sha, payload, question, request, fingerprint, answer, trace, filing)
  -- The client sends a call again whose reply was lost: it was made already.
  if redis.call('EXISTS', job_key(id)) == 1 then return 'NEW', id end
  if request ~= '' then
    local known = redis.call('GET', P .. 'request:' .. request)
    local stored = known and redis.call('HGET', job_key(known), 'fingerprint')
    if stored then return stored == fingerprint and 'KNOWN' or 'REUSED', known end
  end
  local refused = refusal(priority, owner, answer)
  if refused then return refused, string.format('%.3f', ended_per_s(priority)) end
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
  if trace ~= '' then redis.call('HSET', job_key(id), 'trace', trace) end
  if filing ~= '' then redis.call('HSET', job_key(id), 'filing', filing) end
  if request ~= '' then redis.call('SET', P .. 'request:' .. request, id) end
  if answer ~= '' then
    move(id, 'SUCCEEDED', ttl_ms, 'result', answer)
    return 'NEW', id
  end
  move(id, 'QUEUED', nil)
  waits(priority, owner, id, 'LPUSH')
  totals[priority] = totals[priority] + 1
  return 'NEW', id
end

local reply = {now_ms, 0, 0}
for i = 7, #ARGV, 11 do
  local outcome, detail = submit(unpack(ARGV, i, i + 10))
  reply[#reply + 1] = outcome
  reply[#reply + 1] = detail
end
for place, priority in ipairs({'stat', 'routine'}) do
  if totals[priority] and totals[priority] > 0 then reply[place + 1] = wake(priority, latch_ms) end
end
tell_changes()
return reply
