-- KEYS: leases, record, each account asked for. ARGV: lease, reservation, asks as msgpack.
-- Returns {0, accounts after} if granted, {1, {phase, holds, accounts}} if this reservation was made before, and
-- {2, {now, accounts before}} if not: policies/limits.py puts the refusal into words.
local id, asks = ARGV[2], cmsgpack.unpack(ARGV[3])
reap(50)
local record = record_of(id)
local raw = #asks > 0 and call('MGET', unpack(KEYS, 3, 2 + #asks)) or {}
local before, after, holds, fits, known = {}, {}, {}, true, true
for index, ask in ipairs(asks) do
  local kind, edges = ask[2], ask[6]
  local account = decoded(raw[index])
  before[index] = account or false
  local window_s = 0
  if kind == RATE then
    account = account and drained(account, ask[5]) or {0, now, 0}
  elseif kind == CONCURRENT then
    account = account or {0, 0, 0}
  elseif account then
    account = in_window(account, edges)
    window_s = account[2]
  end
  if not account then
    known, fits = false, false
  elseif account[1] + account[3] + ask[3] > ask[4] then
    fits = false
  end
  after[index] = account or false
  holds[index] = {ask[1], kind, ask[3], ask[5], window_s}
end
if record then
  keep_lists()
  return {1, cmsgpack.pack({record[1], record[2], after})}
end
if not fits then
  for index, ask in ipairs(known and asks or {}) do  -- a clock that went back: see Denied in policies/limits.py
    if before[index] and after[index][2] < before[index][2] then
      write(ask[1], ask[2], after[index], ask[5], ask[6][3])
    end
  end
  keep_lists()
  return {2, cmsgpack.pack({now, before})}
end
local keep_s = now + 2 * lease
local states = {}
for index, ask in ipairs(asks) do
  local account, edges = after[index], ask[6]
  account[3] = account[3] + ask[3]
  write(ask[1], ask[2], account, ask[5], account[2] == edges[1] and edges[2] or edges[3])
  keep_s = math.max(keep_s, account[4])
  states[index] = {account[1], account[2], account[3]}
end
newest = math.max(newest, keep_s + lease)
call('ZADD', leases, exact(now + lease), id)
remember(id, HELD, holds, keep_s + lease)
keep_lists()
return {0, cmsgpack.pack(states)}
