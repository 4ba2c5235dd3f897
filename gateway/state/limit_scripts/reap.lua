-- KEYS: leases. ARGV: lease. Returns how many leases had run out.
local count = reap(1000)
keep_lists()
return count
