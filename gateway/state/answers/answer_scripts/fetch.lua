-- ARGV: IDs. Returns for each the entry with its hits, good and bad; or nothing.
local found = {}
for at, id in ipairs(ARGV) do
  local one = call('HEXISTS', known, id) == 1 and call('HMGET', base .. 'e:' .. id, 'b', 'h', 'g', 'd')
  found[at] = one and one[1] and one
end
return found
