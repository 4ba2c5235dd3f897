-- What all scripts share. KEYS[1]: what is known of an owner's entries. Its other keys lie beside it, under one hash tag:
--   known   hash: ID -> msgpack of SIZE, STORED, ENDS, EXACT, NEAR, SHELF, ROUTE, TAGS; who is not in it is not there
--   ends    sorted set: ID -> when its time is up, in ms
--   used    sorted set: ID -> when it was kept or last of use, in ms
--   bytes   what all take together
--   e:ID    hash: b the entry, h, g and d its hits, how many were good and bad, v its vector where a feed needs it
--   x:EXACT, n:NEAR   the ID that the digest leads to
-- Times are told by the gateways, as the ends of entries are.
local call = redis.call
local known = KEYS[1]
local base = string.sub(known, 1, -6)
local ends, used, bytes = base .. 'ends', base .. 'used', base .. 'bytes'
local gone = {} -- ID, SHELF of each that was removed

local function facts_of(packed)
  local is_read, facts = pcall(cmsgpack.unpack, packed)
  if is_read and type(facts) == 'table' and #facts == 8 and type(facts[1]) == 'number' and type(facts[2]) == 'number'
    and type(facts[3]) == 'number' and type(facts[8]) == 'table' then
    return facts
  end
  return {0, 0, 0, '', '', '', '', {}} -- no gateway wrote this; it has expired
end

local function remove(id)
  local packed = call('HGET', known, id)
  call('DEL', base .. 'e:' .. id)
  if not packed then return end
  local facts = facts_of(packed)
  for _, key in ipairs({base .. 'x:' .. facts[4], base .. 'n:' .. facts[5]}) do
    if call('GET', key) == id then call('DEL', key) end
  end
  call('HDEL', known, id)
  call('ZREM', ends, id)
  call('ZREM', used, id)
  call('DECRBY', bytes, facts[1])
  gone[#gone + 1] = id
  gone[#gone + 1] = facts[6]
end

-- Removes what has expired, oldest first. Returns how many there were, up to `most`.
local function expire(now, most)
  local over = call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, most)
  for _, id in ipairs(over) do
    remove(id)
    call('ZREM', ends, id)
  end
  return #over
end

-- Makes room: what was of no use for longest goes first. Returns how many went.
local function trim(entries_max, bytes_max)
  local before = #gone
  for _ = 1, 1000 do
    if call('HLEN', known) <= entries_max and tonumber(call('GET', bytes) or '0') <= bytes_max then break end
    local least = call('ZRANGE', used, 0, 0)[1]
    if not least then -- a part was lost: what is not known is found by nobody
      call('DEL', known, ends, bytes)
      break
    end
    remove(least)
    call('ZREM', used, least)
  end
  return (#gone - before) / 2
end
