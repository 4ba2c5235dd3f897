-- KEYS: leases, account. ARGV: lease, account, msgpack of {{used, at_s, held}, spent}. Returns whether the account was
-- still as it was seen, to the last bit, and is set to what was spent.
local name, seen, spent = ARGV[2], unpack(cmsgpack.unpack(ARGV[3]))
if reap(AT_ONCE) == AT_ONCE then
  keep_lists()
  return 0
end
local account = read(name)
local corrected = 0
if account and account[5] == CALENDAR and account[1] == seen[1] and account[2] == seen[2] and account[3] == seen[3] then
  account[1] = spent
  write(name, CALENDAR, account, 0, 0)
  tell_freed()
  corrected = 1
end
keep_lists()
return corrected
