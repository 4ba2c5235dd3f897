-- KEYS: leases, each record. ARGV: lease, reservations as msgpack. Returns the phase of each; those held live on, and
-- with them the accounts that they hold of.
local ids = cmsgpack.unpack(ARGV[2])
reap(AT_ONCE)
local phases, held = {}, {}
for index, id in ipairs(ids) do
  local record = record_of(id)
  phases[index] = record and record[1] or MISSING
  if phases[index] == HELD then
    call('ZADD', leases, exact(now + lease), id)
    newest = math.max(newest, record[3])
    if record[3] < now + 3 * lease then
      remember(id, HELD, record[2], now + 5 * lease)
      newest = math.max(newest, now + 5 * lease)
    end
    for _, hold in ipairs(record[2]) do held[hold[1]] = hold end
  end
end
for name, hold in pairs(held) do
  local account = read(name)
  if account and account[4] < now + 2 * lease then
    account[4] = now + 4 * lease
    write(name, hold[2], account, hold[4], 0)
  end
end
keep_lists()
return phases
