-- KEYS: leases. ARGV: lease. Returns msgpack of every account as {name, kind, used, at_s, held}, after reaping; 0 where
-- there is more to reap: nobody else is served while a script runs, so it is asked again.
if reap(AT_ONCE) == AT_ONCE then
  keep_lists()
  return 0
end
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
