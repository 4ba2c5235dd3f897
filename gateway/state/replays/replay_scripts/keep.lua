-- KEYS: entry, kept, spent, bytes. ARGV: claim, outcome, its size, ttl in ms, room in bytes, how many may be spent, and
-- how many bytes of an outcome are left when its text goes. Returns whether it is kept; not if another has the claim.
--   kept    sorted set: SIZE:KEY of every outcome with its text -> when its time is up, in ms
--   spent   sorted set: KEY of every outcome without -> the same
--   bytes   what those with their text take
local call = redis.call
local entry, kept, spent, bytes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local size, ttl, room, spent_max = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local mark_bytes = tonumber(ARGV[7])
local found = call('GET', entry)
if found and found ~= ARGV[1] then return found == ARGV[2] and 1 or 0 end
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000 -- to the microsecond: many come in one millisecond
local used = tonumber(call('GET', bytes) or '0')

local function taken_apart(member)
  local cut = string.find(member, ':', 1, true)
  return tonumber(string.sub(member, 1, cut - 1)), string.sub(member, cut + 1)
end

local function drop(member)
  call('ZREM', kept, member)
  local dropped, key = taken_apart(member)
  used = used - dropped
  return key
end

for _, member in ipairs(call('ZRANGEBYSCORE', kept, '-inf', now, 'LIMIT', 0, 100)) do drop(member) end
call('ZREMRANGEBYSCORE', spent, '-inf', now)
call('SET', entry, ARGV[2], 'PX', ttl)
if size > 0 then
  call('ZADD', kept, now + ttl, string.format('%d:%s', size, entry))
  used = used + size
else
  call('ZADD', spent, now + ttl, entry)
end
for _ = 1, 1000 do
  if used <= room then break end
  local oldest = call('ZRANGE', kept, 0, 0, 'WITHSCORES')
  if #oldest == 0 then used = 0 break end
  local key = drop(oldest[1])
  local left = call('PTTL', key)
  if left > 0 then
    call('SET', key, string.sub(call('GET', key), 1, mark_bytes), 'PX', left)
    call('ZADD', spent, oldest[2], key)
  end
end
for _ = 1, call('ZCARD', spent) - spent_max do
  local oldest = call('ZRANGE', spent, 0, 0)[1]
  call('ZREM', spent, oldest)
  call('DEL', oldest)
end
call('SET', bytes, string.format('%d', used), 'PX', ttl)
if call('EXISTS', kept) == 1 then call('PEXPIRE', kept, ttl) end
if call('EXISTS', spent) == 1 then call('PEXPIRE', spent, ttl) end
return 1
