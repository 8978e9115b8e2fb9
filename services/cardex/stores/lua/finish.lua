-- ARGV: token, job ttl ms, then for each job: id, state (SUCCEEDED or FAILED), field (result or error), value
-- Returns for each 1 where the result was written, 0 where the claim was lost: an answer is written once.
local token, ttl_ms = ARGV[1], ARGV[2]
local done, ended = {}, {}
for i = 3, #ARGV, 4 do
  local id, state, field, value = unpack(ARGV, i, i + 3)
  if held(id, token) then
    local priority = redis.call('HGET', job_key(id), 'priority')
    redis.call('ZREM', running_key(priority), id)
    move(id, state, ttl_ms, field, value, 'token', '')
    ended[priority] = (ended[priority] or 0) + 1
    done[#done + 1] = 1
  else
    done[#done + 1] = 0
  end
end
for priority, count in pairs(ended) do count_ended(priority, count) end
tell_changes()
return done
