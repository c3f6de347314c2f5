"""The scripts by which processes note their readers, and show that they live.

Readers that have an owner are in two hashes of their channel, one of the readers themselves, and one of how many each owner has. What
a process has put there is in a set of its own, and its id in the set of all, so that others can take it away when the process is
gone. Where the process lives, its lease is renewed.
"""

from flask_sluice.journal.redis.servers.scripts import Script

REPEAT_MS = 60_000
"""For so long Redis knows what it has replied."""

# A reply may be lost, and the command comes again: the third key has the reply for a while, so that it says the same then.

# KEYS: readers, owners, token. The reply: whether it is the owner's first reader.
JOIN = Script("""
local reader, owner, value, is_again = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local is_new = redis.call('HSETNX', KEYS[1], reader, value) == 1
if is_new then redis.call('HINCRBY', KEYS[2], owner, 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
if not is_new then return is_again == '0' and tonumber(redis.call('GET', KEYS[3]) or 0) or 0 end
local is_first = redis.call('HGET', KEYS[2], owner) == '1' and 1 or 0
redis.call('SET', KEYS[3], is_first, 'PX', ARGV[6])
return is_first
""")

# KEYS: readers, owners, and the token, where the process itself says so. The reply: what was known of the reader, and whether it
# was the owner's last one; nothing if another has said so before.
LEAVE = Script("""
local reader, token = ARGV[1], KEYS[3]
local value = redis.call('HGET', KEYS[1], reader)
if not value then
  local reply = token and redis.call('GET', token)
  if not reply then return {} end
  return {string.sub(reply, 2), tonumber(string.sub(reply, 1, 1))}
end
redis.call('HDEL', KEYS[1], reader)
local owner = cjson.decode(value)[1]
local is_last = 0
if redis.call('HINCRBY', KEYS[2], owner, -1) <= 0 then
  is_last = 1
  redis.call('HDEL', KEYS[2], owner)
end
if token then redis.call('SET', token, is_last .. value, 'PX', ARGV[2]) end
return {value, is_last}
""")

# NUMSUB counts the subscribers of the server that is asked, which is here the one that has the key. Its reply may be a refusal: the
# user may lack the right, and a managed service the command.
_COUNT = """
if redis.replicate_commands then redis.replicate_commands() end

local function count(topic)
  local reply = redis.pcall('PUBSUB', 'NUMSUB', topic)
  return reply.err and -1 or reply[2]
end
"""

# KEYS: a lease. The reply: how many subscribers a topic has on the lease's server; -1: that cannot be said.
COUNT_SUBSCRIBERS = Script(_COUNT + "return count(ARGV[1])")

# KEYS: the lease of the process. The reply: whether it was there, and whether the process's topic has a subscriber on this server,
# which the lease says to others.
RENEW_LEASE = Script(
    _COUNT
    + """
-- In this order: a Redis that is full refuses SET unless the script has written before.
local was_there = redis.call('PEXPIRE', KEYS[1], ARGV[2])
local is_heard = count(ARGV[1]) > 0 and 1 or 0
redis.call('SET', KEYS[1], is_heard, 'PX', ARGV[2])
return {was_there, is_heard}
"""
)

# KEYS: the lease of another process. The reply: 0 where its connection is seen; else for how many ms the lease was not renewed; -2 if
# the connection was not seen here before either: it may be on its way here from a server that had the lease before; -1: there is no
# lease.
SILENCE = Script(
    _COUNT
    + """
local was_heard = redis.call('GET', KEYS[1]) == '1'
local left = redis.call('PTTL', KEYS[1])
if left < 0 then return -1 end
local subscribers = count(ARGV[1])
if subscribers > 0 then return 0 end
if subscribers < 0 or not was_heard then return -2 end
return math.max(1, ARGV[2] - left)
"""
)
