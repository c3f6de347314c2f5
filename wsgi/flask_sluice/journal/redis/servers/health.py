"""Whether Redis does what a client asks of it, and since when."""

import logging
import math
import os
import re
import time

from redis.exceptions import RedisError, ResponseError

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.turns import Turns
from flask_sluice.observe.redis_outages import REFUSES, RedisOutage

logger = logging.getLogger("sluice.journal")

_CODES = {
    "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}
"""redis-py takes the code from the text of these. Earlier releases do not have all of the classes, and leave the code."""

_ABOUT_ONE_KEY = "WRONGTYPE"
_STEADY_SECONDS = 60.0
_MAX_HOLD_SECONDS = 5.0
_LOSS_LINE_SECONDS = 60.0


class RedisHealth:
    """Notes what fails for one client, and until when, however many commands fail meanwhile.

    A command that succeeds does not end a problem: a Redis that is full can still be read, and so can a primary that
    became a replica. Only ``recovered`` does, after all commands that the client needs were tried over a new connection.

    outage: what the worker tells of this Redis, which its other clients share
    """

    def __init__(self, turns: Turns, outage: RedisOutage) -> None:
        self._turns = turns
        self._outage = outage
        self.problem: str | None = None
        """What failed last, as long as it has not been seen to work again."""
        self.reached_since: float | None = None
        """Since when, in monotonic seconds, every attempt has succeeded and nothing was lost."""
        self.troubled_at = -math.inf
        """When something failed or was lost last, in monotonic seconds."""
        self.recovery_count = 0
        """How many problems are over, or masters were replaced. A connection from before that is made anew."""
        self.server_changes = 0
        """How often another server may have come in place of the one before, and lack what that had taken last.

        Connections that may repeat commands go on where a connection broke, or a cluster or the sentinels name another master,
        and no problem is noted. The streams that this worker produces are to be looked up when this rises.
        """
        self.is_closed = False
        self._pid = os.getpid()
        self._is_to_check = turns.new_flag()
        self._recovered_at = -math.inf
        self.hold_seconds = 0.0
        """How long a problem is left before anything looks whether it is over."""
        self._loss_logged_at = -math.inf

    def wait_for_problem(self) -> None:
        """Return while there is a problem, or one that is not told to be over; later if problems come and go."""
        self._turns.wait(self._is_to_check)
        self._turns.sleep(self.hold_seconds)

    def succeeded(self) -> None:
        if self.reached_since is None and self.problem is None:
            self.reached_since = time.monotonic()

    def unreachable(
        self,
        error: Exception,
        sent_after: int | None = None,
        node: tuple[str, int] | None = None,
    ) -> JournalUnavailableError:
        """Note that there was no reply, or none that can be understood. Return the exception to raise.

        sent_after: the ``recovery_count`` when the command was sent. What failed before the last recovery is no news
        node: which of several servers it is
        """
        if isinstance(error, ResponseError) and code_of(error):
            # A new connection was refused what it says of itself first. It is the same as for any other command.
            return self.refused(error, sent_after)
        text = str(error).partition("\n")[0] or type(error).__name__
        # redis-py has no class of its own for this one, which connections that are there do not notice.
        kind = text if text == "max number of clients reached" else type(error).__name__
        return self._failed(kind, f"Redis cannot be reached: {_with_node(text, node)}", sent_after)

    def refused(
        self,
        refusal: RedisError,
        sent_after: int | None = None,
        node: tuple[str, int] | None = None,
    ) -> JournalUnavailableError:
        """Note that a command was refused for what the server is. Return the exception to raise.

        sent_after, node: see ``unreachable``
        """
        # A command that is not known is told with its arguments, of which a script is one.
        code = code_of(refusal)
        text = re.split(", with args beginning with|\n", str(refusal), maxsplit=1)[0]
        if code and not text.startswith(code):
            text = f"{code} {text}"
        return self._failed(code or "ERR", f"{REFUSES}{_with_node(text, node)}", sent_after)

    def recovered(self) -> None:
        """Note that Redis does everything that the client needs."""
        if self.problem is not None:
            self._end_problem()
        self._outage.works(self)
        if self._outage.reason is None:
            self._is_to_check.clear()

    def _end_problem(self) -> None:
        now = time.monotonic()
        is_often = now - self._recovered_at < _STEADY_SECONDS
        self.hold_seconds = min(2 * self.hold_seconds + 0.5, _MAX_HOLD_SECONDS) * is_often
        self._recovered_at = now
        self.problem = None
        self.recovery_count += 1
        self.reached_since = now

    def replaced(self, master: tuple[str, int]) -> None:
        """Note that the sentinels name another master. The one before may still take commands, which will be lost."""
        self._outage.replaced(master)
        self.server_changes += 1
        self.recovery_count += 1
        # Producers on other workers may still store events there, which they store again when they have left it, too.
        self.troubled_at = time.monotonic()
        if self.problem is None:
            self.reached_since = self.troubled_at

    def lost_data(self) -> None:
        """Note that a key was gone long before it could expire."""
        self.reached_since = self.troubled_at = now = time.monotonic()
        if now - self._loss_logged_at >= _LOSS_LINE_SECONDS:
            self._loss_logged_at = now
            logger.warning(
                "Redis has lost the lease of this worker: it was flushed, was restarted empty, or evicts keys; "
                "running streams are stored again"
            )

    def note_policy(self, policy: str | None) -> None:
        """Warn of a ``maxmemory-policy`` with which streams may be lost. None: it may not be read."""
        if policy not in (None, "noeviction"):
            logger.warning(
                "Redis has maxmemory-policy %s: when it is full it drops streams and the leases of workers. "
                "Set noeviction",
                policy,
            )

    def close(self) -> None:
        self.is_closed = True
        # In a child process another thread of the parent's may hold the locks, and never give them back.
        if os.getpid() == self._pid:
            self._outage.closed(self)
            self._is_to_check.set()

    def _failed(self, kind: str, reason: str, sent_after: int | None) -> JournalUnavailableError:
        if sent_after not in (None, self.recovery_count):
            return JournalUnavailableError(reason)
        self.problem = reason
        self.reached_since = None
        self.troubled_at = time.monotonic()
        if not self.is_closed:
            self._outage.failed(self, kind, reason)
            self._is_to_check.set()
        return JournalUnavailableError(reason)


def _with_node(text: str, node: tuple[str, int] | None) -> str:
    if node is None:
        return text
    name = f"{node[0]}:{node[1]}"
    return text if name in text else f"{text} ({name})"


def code_of(refusal: RedisError) -> str:
    """Return the code of a refusal that concerns the server, its state or its rights, such as READONLY; else ""."""
    code = _CODES.get(type(refusal).__name__)
    if code is not None:
        return code
    word = str(refusal).partition(" ")[0]
    is_code = type(refusal) is ResponseError and word.isupper() and word != _ABOUT_ONE_KEY
    return word if is_code else ""
