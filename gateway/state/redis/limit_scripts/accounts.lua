-- Stands before every script: policies/limits.py in Lua, the same doubles in the same order, and how they are kept.
-- KEYS[1] is <prefix>leases; all keys of a tenant begin with that prefix, which holds the hash tag. ARGV[1] is the lease.
--   leases    sorted set: reservation -> when its lease ends
--   names     set: every account of the tenant, for `view`
--   waiting   there while somebody in some process waits for this tenant
--   a:NAME    four doubles and a byte: used, at_s, held, keep_s, kind
--   r:ID      msgpack: phase, holds, keep_s; a hold is {account, kind, amount, rate_per_s, window_s}
-- keep_s is when a key may vanish: not before an account is full again, its window over and whatever is held settled.
local call = redis.call
local RATE, CALENDAR, CONCURRENT = 0, 1, 2
local HELD, SETTLED, REAPED, MISSING = 0, 1, 2, 3
local AT_ONCE = 250  -- leases of a dead gateway, some 10 ms of them
local prefix = string.sub(KEYS[1], 1, -7)
local leases, names = KEYS[1], prefix .. 'names'
local lease = tonumber(ARGV[1])
local newest = 0

local function exact(number) return string.format('%.17g', number) end

local function ttl_ms(keep_s) return math.min(math.ceil((keep_s - now) * 1000), 1e14) end

local function decoded(raw)
  if not raw then return nil end
  local used, at_s, held, keep_s, kind = struct.unpack('>ddddB', raw)
  return {used, at_s, held, keep_s, kind}
end

local function read(name) return decoded(call('GET', prefix .. 'a:' .. name)) end

local function write(name, kind, account, rate, end_s)
  local keep_s = math.max(now + 2 * lease, account[4] or 0)
  if kind == RATE and rate > 0 then
    keep_s = math.max(keep_s, math.max(now, account[2]) + (account[1] + account[3]) / rate + lease)
  elseif kind == CALENDAR then
    keep_s = math.max(keep_s, end_s + lease)
  end
  if not account[4] then call('SADD', names, name) end
  account[4] = keep_s
  newest = math.max(newest, keep_s)
  local packed = struct.pack('>ddddB', account[1], account[2], account[3], keep_s, kind)
  call('SET', prefix .. 'a:' .. name, packed, 'PX', exact(ttl_ms(keep_s)))
end

local function keep(key, keep_s)
  local ms = ttl_ms(keep_s)
  if call('PTTL', key) < ms then call('PEXPIRE', key, exact(ms + math.ceil(lease * 1000))) end
end

-- What lists the accounts, and the leases on them, must outlive the last of them.
local function keep_lists()
  if newest > 0 then
    keep(names, newest)
    keep(leases, newest)
  end
end

local function drained(account, rate)
  local used = account[1]
  if used ~= 0 and now > account[2] then used = math.max(0, used - (now - account[2]) * rate) end
  return {used, now, account[3], account[4]}
end

local function in_window(account, edges)
  local window_s = now < edges[2] and edges[1] or edges[2]
  if account[2] < window_s and window_s <= now then return {0, window_s, account[3], account[4]} end
  if now < account[2] and edges[2] < account[2] then return {account[1], window_s, account[3], account[4]} end
  return account
end

local function record_of(id)
  local raw = call('GET', prefix .. 'r:' .. id)
  if not raw then return nil end
  local record = cmsgpack.unpack(raw)
  if record[1] ~= HELD and now >= record[3] then return nil end
  return record
end

local function remember(id, phase, holds, keep_s)
  call('SET', prefix .. 'r:' .. id, cmsgpack.pack({phase, holds, keep_s}), 'PX', exact(ttl_ms(keep_s)))
end

-- `settle` of policies/limits.py on one account.
local function charge(hold, actual, phase)
  local name, kind, amount, rate = hold[1], hold[2], hold[3], hold[4]
  local account = read(name)
  if not account then
    if kind ~= RATE then return end
    account = {0, now, 0}
  end
  if kind == RATE then account = drained(account, rate) end
  local due = math.max(actual, 0)
  if phase == HELD then
    account[3] = math.max(account[3] - amount, 0)
  elseif phase == REAPED then
    due = due - amount
  end
  if kind == RATE then
    account[1] = account[1] + math.max(due, 0)
  elseif kind == CALENDAR and account[2] == hold[5] then
    account[1] = math.max(account[1] + due, 0)
  end
  write(name, kind, account, rate, 0)
end

local function tell_freed()
  if call('EXISTS', prefix .. 'waiting') == 1 then
    call('PUBLISH', string.match(prefix, '^[^{]*') .. 'freed', string.match(prefix, '{t:(.*)}'))
  end
end

-- Charges in full what leases ran out on, oldest first. Returns how many there were, up to `most`.
local function reap(most)
  local ended = call('ZRANGEBYSCORE', leases, '-inf', exact(now), 'LIMIT', 0, most)
  for _, id in ipairs(ended) do
    local record = record_of(id)
    if record and record[1] == HELD then
      for _, hold in ipairs(record[2]) do charge(hold, hold[3], HELD) end
      remember(id, REAPED, record[2], now + lease)
    end
    call('ZREM', leases, id)
  end
  if #ended > 0 then tell_freed() end
  return #ended
end
