-- KEYS: leases, record, each account held. ARGV: lease, reservation, msgpack of {holds, actual}.
-- Returns the phase the reservation was in. A record the store has lost is charged by what the caller says it held.
local id, request = ARGV[2], cmsgpack.unpack(ARGV[3])
local record = record_of(id)
local phase = record and record[1] or MISSING
if phase == SETTLED then return phase end
for index, hold in ipairs(record and record[2] or request[1]) do charge(hold, request[2][index] or 0, phase) end
if phase == HELD then call('ZREM', leases, id) end
remember(id, SETTLED, record and record[2] or request[1], now + lease)
keep_lists()
tell_freed()
return phase
