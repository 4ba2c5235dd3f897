-- KEYS: entry. ARGV: claim. Returns whether it was claimed so.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
