-- KEYS: leases, account. ARGV: lease, account, msgpack of {window_s, used}. Returns whether the account was begun here.
local name, start = ARGV[2], cmsgpack.unpack(ARGV[3])
if read(name) then return 0 end
write(name, CALENDAR, {start[2], start[1], 0}, 0, now + 3600)
keep_lists()
return 1
