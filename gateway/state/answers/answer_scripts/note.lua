-- ARGV: now in ms, then for each entry ID, and its hits, good and bad since. Returns how many of them are still there.
local noted = 0
for at = 2, #ARGV, 4 do
  local id = ARGV[at]
  local entry = base .. 'e:' .. id
  if call('HEXISTS', known, id) == 1 and call('EXISTS', entry) == 1 then
    for offset, field in ipairs({'h', 'g', 'd'}) do
      local more = ARGV[at + offset]
      if more ~= '0' then call('HINCRBY', entry, field, more) end
    end
    call('ZADD', used, 'XX', ARGV[1], id)
    noted = noted + 1
  end
end
return noted
