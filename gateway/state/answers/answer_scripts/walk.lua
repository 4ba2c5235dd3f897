-- ARGV: whether what is met is dropped, now in ms, where to go on, how many steps; then what is looked for, each as '='
-- and its value, or nothing: ID, route, tag, and the ms before which it was stored.
-- Returns where to go on, the IDs met that have not expired, and who is gone. A walk from 0 to 0 meets all that are
-- there from its beginning to its end.
local drops, now, cursor = ARGV[1] == '1', tonumber(ARGV[2]), ARGV[3]
local wanted_id, route, tag, before = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local met = {}

local function matches(facts)
  if route ~= '' and route ~= '=' .. facts[7] then return false end
  if before ~= '' and facts[2] >= tonumber(string.sub(before, 2)) then return false end
  if tag == '' then return true end
  for _, one in ipairs(facts[8]) do
    if tag == '=' .. one then return true end
  end
  return false
end

local function meet(id, packed)
  local facts = facts_of(packed)
  local is_live = facts[3] > now and call('EXISTS', base .. 'e:' .. id) == 1
  if is_live and not matches(facts) then return end
  if is_live then met[#met + 1] = id end
  if drops or not is_live then remove(id) end
end

if wanted_id ~= '' then
  local id = string.sub(wanted_id, 2)
  local packed = call('HGET', known, id)
  if packed then meet(id, packed) end
  return {'0', met, gone}
end
local step = call('HSCAN', known, cursor, 'COUNT', ARGV[4])
for at = 1, #step[2], 2 do meet(step[2][at], step[2][at + 1]) end
return {step[1], met, gone}
