-- KEYS: entry. ARGV: claim, lease in ms. Returns whether it is still, or again, claimed: a Redis that lost what it had
-- in memory is told anew.
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
