"""The counts of rate limits in Redis, for all workers and hosts."""

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.redis.servers.repeated_step import RepeatedStep
from flask_sluice.journal.redis.servers.scripts import Call, Script, reply_of, run
from flask_sluice.journal.turns import Flag

_WAIT_SECONDS = 0.5
"""Each request waits this long at most for its count."""
_CHECK_SECONDS = 1.0
"""Between looks whether a Redis that failed works again."""

# KEYS: one for each limit, all of one client. ARGV: amount and window (ms) of each. The reply: the place of the limit that is reached,
# 0 if none is, and after how many ms the next request is taken. A value is the number of the window in which the client was counted
# last, and the counts of that window and of the one before. Redis's clock numbers the windows, so that all hosts have the same ones.
COUNT = Script("""
-- Redis before 7 would otherwise refuse to write after TIME; from 7 on it does nothing.
if redis.replicate_commands then redis.replicate_commands() end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for place, key in ipairs(KEYS) do
  local amount, window = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place])
  local number = math.floor(now / window)
  local elapsed = now - number * window
  local counted_in, count, before = string.match(redis.call('GET', key) or '', '^(%d+) (%d+) (%d+)$')
  counted_in, count, before = tonumber(counted_in), tonumber(count), tonumber(before)
  if counted_in ~= number then
    before = counted_in == number - 1 and count or 0
    count = 0
  end
  if count + math.floor(before * (1 - elapsed / window)) >= amount then
    local wait = window - elapsed
    -- The window before may count for so little earlier that there is room for one request.
    if count < amount then wait = window * (1 - (amount - count) / before) - elapsed end
    return {place, math.max(1, math.ceil(wait))}
  end
  local value = string.format('%.0f %.0f %.0f', number, count + 1, before)
  redis.call('SET', key, value, 'PX', 2 * window - elapsed)
end
return {0, 0}
""")


def count_key(client: str, amount: int, seconds: int) -> str:
    # In a Redis Cluster what stands between the braces decides about a key's place, unless it is empty, as a client's name may be.
    return f"sluice:limits:{{client:{client}}}:{amount}:{seconds}"


@dataclass(frozen=True)
class Limit:
    """amount: of requests in a window of so many seconds"""

    amount: int
    seconds: int


@dataclass(slots=True, eq=False)
class _Request:
    """A request that waits for its count. reply: None until Redis has counted it."""

    call: Call
    is_settled: Flag
    reply: list[int] | None = None
    is_waiting: bool = True


class SharedCounts:
    """Counts in Redis, with a sliding window counter, as ``MemoryWindow`` does.

    One job counts all requests that have come while it waited for Redis in one exchange, over a connection that streams do
    not use. So a request waits for half a second at most, however many servers the client has to try; and while Redis does
    not work, no request waits.
    """

    def __init__(
        self, url: str, limits: Sequence[Limit], credentials: RedisCredentials | None
    ) -> None:
        self._client = RedisClient(url, "sluice-limits", credentials=credentials)
        self._pid = os.getpid()
        self._turns = self._client.turns
        self._limits = limits
        self._requests: deque[_Request] = deque()
        self._has_requests = self._turns.new_flag()
        self._steps: list[RepeatedStep] = []

    def count(self, client: str) -> tuple[Limit, float] | None:
        """Count one request. Return None if it is within all limits, else one that is reached, and the seconds to wait.

        Raises JournalUnavailableError where Redis does not count it.
        """
        with self._turns:
            self._start()
            health = self._client.health
            if health.problem is not None:
                raise JournalUnavailableError(health.problem)
            request = _Request(self._call(client), self._turns.new_flag())
            self._requests.append(request)
            self._has_requests.set()
            self._turns.wait(request.is_settled, _WAIT_SECONDS)
            request.is_waiting = False
            if not request.is_settled.is_set():
                # From now on no request waits, until Redis has been seen to work.
                raise health.unreachable(RedisTimeoutError("no reply in time"))
            if request.reply is None:
                raise JournalUnavailableError("Redis did not count the request")
            place, wait_ms = request.reply
            return (self._limits[place - 1], wait_ms / 1000) if place else None

    def close(self) -> None:
        """Close the connection. In a child process, that is its copy of the parent's."""
        if os.getpid() == self._pid:
            for step in self._steps:
                step.close()
            self._has_requests.set()
        self._client.close()

    def _call(self, client: str) -> Call:
        keys = [count_key(client, limit.amount, limit.seconds) for limit in self._limits]
        arguments = [
            number for limit in self._limits for number in (limit.amount, limit.seconds * 1000)
        ]
        return COUNT, keys, arguments

    # The jobs.

    def _start(self) -> None:
        if not self._steps:
            self._steps = [
                RepeatedStep(self._turns, self._count_step, 0.0),
                RepeatedStep(self._turns, self._check_step, _CHECK_SECONDS),
                *(RepeatedStep(self._turns, *step) for step in self._client.steps),
            ]

    def _count_step(self) -> None:
        self._turns.wait(self._has_requests)
        self._has_requests.clear()
        requests = [request for request in self._requests if request.is_waiting]
        self._requests.clear()
        if not requests:
            return
        try:
            self._count(requests)
        finally:
            for request in requests:
                request.is_settled.set()

    def _count(self, requests: list[_Request]) -> None:
        """Raises JournalUnavailableError if some are not counted."""
        outcomes = run(self._client, *(request.call for request in requests))
        problem: JournalUnavailableError | None = None
        for request, outcome in zip(requests, outcomes, strict=True):
            try:
                request.reply = self._checked(reply_of(self._client, outcome))
            except JournalUnavailableError as error:
                problem = error
        if problem is not None:
            raise problem

    def _checked(self, reply: Reply) -> list[int]:
        match reply:
            case [int(place), int(wait_ms)]:
                return [place, wait_ms]
        raise self._client.health.unreachable(InvalidResponse("its reply is not the script's"))

    def _check_step(self) -> None:
        self._client.health.wait_for_problem()
        self._client.check(_everything)


def _everything(tag: str) -> list[Command]:
    """Return what shows whether the script may do all that it does. It changes nothing."""
    script = "redis.call('TIME') redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], '', 'XX', 'PX', 1)"
    return [("EVAL", script, 1, f"sluice:limits:{{{tag}}}")]
