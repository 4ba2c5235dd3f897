-- KEYS: leases. ARGV: lease. Returns msgpack of every account as {name, kind, used, at_s, held}, after reaping.
while reap(1000) == 1000 do end
local found = {}
for _, name in ipairs(call('SMEMBERS', names)) do
  local account = read(name)
  if account then
    found[#found + 1] = {name, account[5], account[1], account[2], account[3]}
  else
    call('SREM', names, name)
  end
end
keep_lists()
return cmsgpack.pack(found)
