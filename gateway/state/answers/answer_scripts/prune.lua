-- ARGV: now in ms, how many entries and bytes there is room for. Returns how many were evicted and how many had expired,
-- who is gone, and how many entries and bytes are left.
local expired = expire(tonumber(ARGV[1]), 1000)
local evicted = trim(tonumber(ARGV[2]), tonumber(ARGV[3]))
return {evicted, expired, gone, call('HLEN', known), tonumber(call('GET', bytes) or '0')}
