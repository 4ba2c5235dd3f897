-- ARGV: IDs. Returns for each its vector and what is known of it; or nothing.
local found = {}
for at, id in ipairs(ARGV) do
  local packed = call('HGET', known, id)
  local vector = packed and call('HGET', base .. 'e:' .. id, 'v')
  found[at] = vector and {vector, packed}
end
return found
