-- ARGV: ID, its vector. Returns whether the entry is there.
local entry = base .. 'e:' .. ARGV[1]
if call('HEXISTS', known, ARGV[1]) == 0 or call('EXISTS', entry) == 0 then return 0 end
call('HSET', entry, 'v', ARGV[2])
return 1
