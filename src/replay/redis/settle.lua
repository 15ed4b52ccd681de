-- Settles a pass of one capture. The rules are those of `Entry::settle`.
-- KEYS: the capture. ARGV: the epoch of the pass; what became of it: released, attempted or delivered.
local now = tonumber(redis.call('TIME')[1])
local was = redis.call('HMGET', KEYS[1], 'until', 'epoch', 'in_flight', 'attempts', 'deliveries')
if not was[1] or now >= tonumber(was[1]) then
  -- A replica, such as a demoted primary, may lack what the primary has: writing nothing, it would have been told all the same.
  redis.call('DEL', KEYS[1])
  return 0
end
local in_flight, attempts, deliveries = tonumber(was[3]), tonumber(was[4]), tonumber(was[5])
local own = was[2] == ARGV[1] and in_flight > 0
if own then in_flight = in_flight - 1 end
if ARGV[2] == 'delivered' then
  deliveries = deliveries + 1
elseif ARGV[2] == 'attempted' and own then
  attempts = attempts + 1
end
if in_flight + attempts + deliveries == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'in_flight', in_flight, 'attempts', attempts, 'deliveries', deliveries)
end
return 1
