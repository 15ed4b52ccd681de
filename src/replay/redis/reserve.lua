-- Asks for a pass of one capture. The rules are those of `Entry::reserve`; the clock is Redis's own, one for all replicas.
-- KEYS: the capture; where the store must be old enough, the key that says since when it remembers.
-- ARGV: epoch, window, lease, max_deliveries, max_attempts, the second from which the store must remember.
local now = tonumber(redis.call('TIME')[1])
local epoch, window, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if KEYS[2] then
  redis.call('SET', KEYS[2], now, 'NX')
  if tonumber(redis.call('GET', KEYS[2])) > tonumber(ARGV[6]) then return {5, 0} end
end
local was = redis.call('HMGET', KEYS[1], 'until', 'lease', 'epoch', 'in_flight', 'attempts', 'deliveries')
if not was[1] or now >= tonumber(was[1]) then
  redis.call('HSET', KEYS[1], 'until', now + window, 'lease', now + lease, 'epoch', epoch,
    'in_flight', 1, 'attempts', 0, 'deliveries', 0)
  local ends = redis.pcall('EXPIRE', KEYS[1], window)
  if ends == 1 then return {0, tonumber(epoch)} end
  -- Without the right to it the key would stay for ever. (It cannot come first: a full Redis lets a script that wrote go on.)
  redis.call('DEL', KEYS[1])
  return ends
end
local in_flight, attempts, deliveries = tonumber(was[4]), tonumber(was[5]), tonumber(was[6])
if in_flight > 0 and now >= tonumber(was[2]) then
  attempts, in_flight = attempts + in_flight, 0
  redis.call('HSET', KEYS[1], 'in_flight', in_flight, 'attempts', attempts)
end
if deliveries >= tonumber(ARGV[4]) then return {3, 0} end
if deliveries + in_flight >= tonumber(ARGV[4]) then return {2, 0} end
if attempts >= tonumber(ARGV[5]) then return {4, 0} end
if in_flight > 0 then epoch = was[3] end
redis.call('HSET', KEYS[1], 'lease', now + lease, 'epoch', epoch, 'in_flight', in_flight + 1)
return {1, tonumber(epoch)}
