-- KEYS: leases. ARGV: lease, seconds. Somebody waits for what this tenant gives back, for so long.
local ms = math.ceil(tonumber(ARGV[2]) * 1000)
if call('PTTL', prefix .. 'waiting') < ms then call('SET', prefix .. 'waiting', '1', 'PX', exact(ms)) end
return 1
