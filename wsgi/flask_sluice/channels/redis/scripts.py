"""How channels are stored in Redis, and the scripts that change them.

The events of a channel are a Redis Stream. Its entries have one field, whose name says what they are: ``e`` for an event, ``k`` for a
kick. Beside it there is a hash, which lives on when the events have expired, so that a reader which has them all is not told a
reset, and one which has not is:

- last, event: the ids of the last entry, and of the last event
- trimmed, dropped: the ids of the last entry that was dropped, and of the last event that was
- bytes: how many the events have that are kept
- kick: the id of the last kick; absent where there was none

Readers that have an owner are in two hashes, one of the readers themselves, and one of how many each owner has. What a process has
put there is in a set of its own, and its id in the set of all, so that others can take it away when the process is gone.

A channel of which Redis knows nothing begins at the present time: a reader that has been further back has missed something, for
all that Redis knows.
"""

from flask_sluice.journal.redis.keys_and_commands import milliseconds
from flask_sluice.journal.redis.servers.scripts import Script

MARKER_SECONDS = 24 * 3600
"""How long Redis knows a channel's last id after the channel was used last. Processes that have readers renew it."""


def marker_ms(history_seconds: float) -> int:
    """Return for how long Redis knows a channel's last id, in ms: longer than it keeps the events."""
    return milliseconds(max(MARKER_SECONDS, 2 * history_seconds))


EVENT = b"e"
KICK = b"k"


def _escaped(name: str) -> str:
    # In a Redis Cluster, what stands between the first braces decides about a key's place.
    return name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


def events_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}"


def marker_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:last"


def token_key(name: str, token: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:token:{token}"


def readers_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:readers"


def owners_key(name: str) -> str:
    return f"sluice:channel:{{{_escaped(name)}}}:owners"


WORKERS_KEY = "sluice:channels:workers"


def check_key(tag: str) -> str:
    """A key that does not exist, and belongs to none of the channels: what is tried there changes nothing."""
    return f"sluice:channels:{{{tag}}}"


def joined_key(worker_id: str) -> str:
    return f"sluice:channels:joined:{worker_id}"


def lease_key(worker_id: str) -> str:
    return f"sluice:channels:lease:{worker_id}"


def topic_of(name: str) -> bytes:
    """The pub/sub channel in which a channel's entries are published."""
    return f"sluice:channel:{name}".encode()


def worker_topic(worker_id: str) -> bytes:
    """The pub/sub channel that only this process subscribes to, so that others see whether it lives."""
    return f"sluice:channels:worker:{worker_id}".encode()


# KEYS: events, marker. Sets: now (ms), id_now, last, last_event, dropped, trimmed, bytes, kick.
_BEGIN = """
-- Redis before 7 would otherwise refuse to write after TIME; from 7 on it does nothing.
if redis.replicate_commands then redis.replicate_commands() end

local events, marker = KEYS[1], KEYS[2]

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local function is_before(one, other)
  local one_ms, one_number = parts(one)
  local other_ms, other_number = parts(other)
  return one_ms < other_ms or (one_ms == other_ms and one_number < other_number)
end

local function next_id(id)
  local ms, number = parts(id)
  return string.format('%.0f-%.0f', ms, number + 1)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- With microseconds: a Redis that has just lost everything must not give out the ids of before again.
local id_now = string.format('%.0f-%.0f', now, time[2] % 1000)

local fields = redis.call('HMGET', marker, 'last', 'event', 'dropped', 'trimmed', 'bytes', 'kick')
local last, last_event, dropped, trimmed = fields[1], fields[2], fields[3], fields[4]
local bytes, kick = tonumber(fields[5] or 0), fields[6]
if not (last and last_event and dropped and trimmed) then
  last = id_now
  last_event, dropped, trimmed, bytes = last, last, last, 0
  redis.call('HSET', marker, 'last', last, 'event', last, 'dropped', last, 'trimmed', last, 'bytes', 0)
  redis.call('DEL', events)
end

if trimmed ~= last and redis.call('EXISTS', events) == 0 then
  -- All entries have expired.
  dropped, trimmed, bytes = last_event, last, 0
  redis.call('HSET', marker, 'dropped', dropped, 'trimmed', trimmed, 'bytes', 0)
end

-- Drops what is beyond a limit.
local function trim(max_events, max_bytes, max_age)
  local count = redis.call('XLEN', events)
  local before, from = trimmed, '-'
  while count > 0 do
    local entry = redis.call('XRANGE', events, from, '+', 'COUNT', 1)[1]
    if count <= max_events and bytes <= max_bytes and parts(entry[1]) >= now - max_age then break end
    trimmed = entry[1]
    if entry[2][1] == 'e' then
      dropped = trimmed
      bytes = bytes - #entry[2][2]
    end
    count = count - 1
    from = '(' .. trimmed
  end
  if trimmed ~= before then
    redis.call('HSET', marker, 'dropped', dropped, 'trimmed', trimmed, 'bytes', bytes)
    redis.call('XTRIM', events, 'MINID', '=', next_id(trimmed))
  end
end
"""

# KEYS: events, marker, token. The reply is the id.
PUBLISH = Script(
    _BEGIN
    + """
local kind, payload, topic = ARGV[1], ARGV[2], ARGV[3]
local max_events, max_bytes, max_age = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local id = redis.call('GET', KEYS[3])
if id then return id end

local previous = last
id = is_before(last, id_now) and id_now or next_id(last)
redis.call('XADD', events, id, kind, payload)
last = id
if kind == 'e' then
  last_event = id
  bytes = bytes + #payload
else
  redis.call('HSET', marker, 'kick', id)
end
redis.call('HSET', marker, 'last', last, 'event', last_event, 'bytes', bytes)
trim(max_events, max_bytes, max_age)
redis.call('PEXPIRE', events, max_age)
redis.call('PEXPIRE', marker, ARGV[7])
redis.call('SET', KEYS[3], id, 'PX', ARGV[8])
-- An event is published with its id, as readers get it.
local id_line = kind == 'e' and 'id: ' .. ARGV[9] .. ':' .. id .. '\\n' or ''
redis.call('PUBLISH', topic, previous .. ' ' .. id .. ' ' .. kind .. id_line .. payload)
return id
"""
)

# KEYS: events, marker. The reply: the id of the last entry; the entries after the one asked for; if some events of those are gone, the
# id from which on they are there; and whether there may have been a kick among entries that are gone.
READ = Script(
    _BEGIN
    + """
local after, count, max_age = ARGV[1], ARGV[2], tonumber(ARGV[3])

trim(math.huge, math.huge, max_age)
redis.call('PEXPIRE', marker, ARGV[4])
if after == '' then return {last, {}, '', 0} end

local misses_kick = kick and is_before(after, kick) and is_before(after, trimmed) and 1 or 0
local is_lost = is_before(after, dropped) or is_before(last, after)
if not is_lost and is_before(trimmed, after) and is_before(after, last_event) then
  -- Redis may have gone back to an earlier state, and forward again: then it does not have this entry.
  is_lost = #redis.call('XRANGE', events, after, after) == 0
end
if not is_lost then
  return {last, redis.call('XRANGE', events, '(' .. after, '+', 'COUNT', count), '', misses_kick}
end
local entries = redis.call('XRANGE', events, '-', '+', 'COUNT', count)
return {last, entries, #entries == 0 and last or trimmed, misses_kick}
"""
)

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
