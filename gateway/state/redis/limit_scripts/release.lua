-- KEYS: leases, record. ARGV: lease, reservation. Gives back what counts only while it is held.
local id = ARGV[2]
local record = record_of(id)
if not record or record[1] ~= HELD then return 0 end
local freed = 0
for _, hold in ipairs(record[2]) do
  if hold[2] == CONCURRENT and hold[3] > 0 then
    charge(hold, 0, HELD)
    hold[3] = 0
    freed = freed + 1
  end
end
if freed > 0 then
  remember(id, HELD, record[2], record[3])
  keep_lists()
  tell_freed()
end
return freed
