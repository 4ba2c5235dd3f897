-- ARGV: the digest of the whole request, and of its plain form or nothing. Returns which of the two it is, ID, and the
-- entry with its hits, good and bad; or nothing.
local function at(level, key)
  local id = call('GET', key)
  if not id or call('HEXISTS', known, id) == 0 then return false end
  local found = call('HMGET', base .. 'e:' .. id, 'b', 'h', 'g', 'd')
  return found[1] and {level, id, found[1], found[2], found[3], found[4]}
end
return at(1, base .. 'x:' .. ARGV[1]) or ARGV[2] ~= '' and at(2, base .. 'n:' .. ARGV[2])
