-- KEYS: entry. ARGV: claim, lease in ms. Returns what stands there, or nothing if it is claimed now.
local found = redis.call('GET', KEYS[1])
if found then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
