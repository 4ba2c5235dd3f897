-- KEYS: leases. ARGV: lease. Returns how many leases had run out.
local count = reap(AT_ONCE)
keep_lists()
return count
