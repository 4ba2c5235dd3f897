-- ARGV: ID, the entry, what is to be known of it, now in ms, how many entries and bytes there is room for.
-- Returns how many were evicted and how many had expired, and who is gone.
local id, now = ARGV[1], tonumber(ARGV[4])
local facts = cmsgpack.unpack(ARGV[3])
local ttl = facts[3] - now
call('ZADD', used, now, id) -- first of all: a Redis that is full refuses a script's first write or none
local expired = expire(now, 20)
local older = call('GET', base .. 'x:' .. facts[4])
if older then remove(older) end
remove(id)
local entry = base .. 'e:' .. id
call('HSET', entry, 'b', ARGV[2])
call('PEXPIRE', entry, ttl)
call('SET', base .. 'x:' .. facts[4], id, 'PX', ttl)
if facts[5] ~= '' then call('SET', base .. 'n:' .. facts[5], id, 'PX', ttl) end
call('HSET', known, id, ARGV[3])
call('ZADD', ends, facts[3], id)
call('ZADD', used, now, id)
call('INCRBY', bytes, facts[1])
local evicted = trim(tonumber(ARGV[5]), tonumber(ARGV[6]))
for _, key in ipairs({known, ends, used, bytes}) do
  if call('PTTL', key) < ttl then call('PEXPIRE', key, ttl) end
end
return {evicted, expired, gone}
