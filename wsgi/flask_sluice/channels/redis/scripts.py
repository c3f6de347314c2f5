"""How channels are stored in Redis, and the scripts that change them.

The events of a channel are a Redis Stream. Its entries have one field, whose name says what they are: ``e`` for an event, ``k`` for a
kick. Beside it there is a hash, which lives on when the events have expired, so that a reader which has them all is not told a
reset, and one which has not is:

- last, event: the ids of the last entry, and of the last event
- trimmed, dropped: the ids of the last entry that was dropped, and of the last event that was
- bytes: how many the events have that are kept
- kick: the id of the last kick; absent where there was none
- p:PUBLISHER: the number that a publisher has given its last entry, and the entry's id, so that it is not added again where the reply
  was lost and the command comes once more
- swept: when the publishers were looked through last, in ms since 1970. Those that have published nothing since are dropped

The two keys exist together nearly always. So a cluster serves a channel also while its slot moves, where it refuses a command of which
some keys are there and others are not.

A channel of which Redis knows nothing begins at the present time: a reader that has been further back has missed something, for
all that Redis knows. A channel of which Redis does not have an entry any more that a process has seen has lost others, too, for all
that Redis knows: it begins anew, and every reader is told a reset. This happens where a replica takes over that was behind.

A script has the keys of one slot, and so has everything else that is one step.
"""

from flask_sluice.channels.redis.keys import MARKER_SECONDS
from flask_sluice.journal.redis.keys_and_commands import milliseconds
from flask_sluice.journal.redis.servers.scripts import Script

EVENT = b"e"
KICK = b"k"


def marker_ms(history_seconds: float) -> int:
    """Return for how long Redis knows a channel's last id, in ms: longer than it keeps the events."""
    return milliseconds(max(MARKER_SECONDS, 2 * history_seconds))


# KEYS: events, marker. ARGV[1]: the id of an entry that the process has seen, or "". Sets: now (ms), id_now, last, last_event, dropped, trimmed, bytes, kick.
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

local known = ARGV[1]
if known ~= '' and known ~= last then
  local is_ahead = is_before(last, known)
  if is_ahead or (is_before(trimmed, known) and #redis.call('XRANGE', events, known, known) == 0) then
    -- Redis has gone back to an earlier state, and what it has now has a gap: it begins anew.
    last = is_ahead and known or last
    last = is_before(last, id_now) and id_now or next_id(last)
    last_event, dropped, trimmed, bytes = last, last, last, 0
    redis.call('HSET', marker, 'last', last, 'event', last, 'dropped', last, 'trimmed', last, 'bytes', 0)
    redis.call('DEL', events)
  end
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

# KEYS: events, marker. The reply is the id.
PUBLISH = Script(
    _BEGIN
    + """
-- Drops publishers that have published nothing for some time.
local function sweep(age)
  local swept = tonumber(redis.call('HGET', marker, 'swept') or 0)
  if now - swept < age then return end
  redis.call('HSET', marker, 'swept', string.format('%.0f', now))
  local fields = redis.call('HGETALL', marker)
  for place = 1, #fields, 2 do
    local ms = string.sub(fields[place], 1, 2) == 'p:' and string.match(fields[place + 1], ' (%d+)-')
    if ms and tonumber(ms) < now - age then redis.call('HDEL', marker, fields[place]) end
  end
end

local kind, payload, topic = ARGV[2], ARGV[3], ARGV[4]
local max_events, max_bytes, max_age = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local publisher, number = ARGV[9], ARGV[10]

local done = redis.call('HGET', marker, publisher)
if done then
  local done_number, done_id = string.match(done, '^(%d+) (.+)$')
  if done_number == number then return done_id end
end

local previous = last
local id = is_before(last, id_now) and id_now or next_id(last)
redis.call('XADD', events, id, kind, payload)
last = id
if kind == 'e' then
  last_event = id
  bytes = bytes + #payload
else
  redis.call('HSET', marker, 'kick', id)
end
redis.call('HSET', marker, 'last', last, 'event', last_event, 'bytes', bytes, publisher, number .. ' ' .. id)
trim(max_events, max_bytes, max_age)
redis.call('PEXPIRE', events, max_age)
redis.call('PEXPIRE', marker, ARGV[8])
sweep(tonumber(ARGV[11]))
-- An event is published with its id, as readers get it.
local id_line = kind == 'e' and 'id: ' .. ARGV[12] .. ':' .. id .. '\\n' or ''
redis.call('PUBLISH', topic, previous .. ' ' .. id .. ' ' .. kind .. id_line .. payload)
return id
"""
)

# KEYS: events, marker. The reply: the id of the last entry; the entries after the one asked for; if some events of those are gone, the
# id from which on they are there; and whether there may have been a kick among entries that are gone.
READ = Script(
    _BEGIN
    + """
local after, count, max_age = ARGV[2], ARGV[3], tonumber(ARGV[4])

trim(math.huge, math.huge, max_age)
redis.call('PEXPIRE', marker, ARGV[5])
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
