"""Lua scripts, each of which Redis runs as one step."""

import hashlib
from collections.abc import Sequence

from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import (
    Command,
    Refusal,
    Reply,
    refuses_hash,
)


class Script:
    """A Lua script. All keys of a call are in one slot, where Redis is a cluster."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._hash = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def by_hash(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
        return ("EVALSHA", self._hash, len(keys), *keys, *arguments)

    def by_text(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
        return ("EVAL", self.text, len(keys), *keys, *arguments)


Call = tuple[Script, Sequence[str], Sequence[str | bytes | int]]


def run(client: RedisClient, *calls: Call) -> list[Reply]:
    """Run scripts, one after the other. Return a reply for each, which may be a Refusal. Raises JournalUnavailableError."""
    replies = client.execute(*(script.by_hash(keys, given) for script, keys, given in calls))
    unknown = [place for place, reply in enumerate(replies) if _is_unknown(reply)]
    if unknown:
        # Redis has been started anew, or has never had these, or takes no script by its hash.
        again = client.execute(
            *(
                script.by_text(keys, given)
                for script, keys, given in map(calls.__getitem__, unknown)
            )
        )
        for place, reply in zip(unknown, again, strict=True):
            replies[place] = reply
    return replies


def run_in_order(client: RedisClient, *calls: Call) -> list[Reply]:
    """Like ``run``, for calls whose order matters: none comes later than the others because Redis did not know its script."""
    return client.execute(*(script.by_text(keys, given) for script, keys, given in calls))


def run_one(client: RedisClient, call: Call) -> Reply:
    """Run a script. Raises JournalUnavailableError, also where Redis refuses it."""
    (reply,) = run(client, call)
    if isinstance(reply, Refusal):
        raise client.health.refused(reply)
    return reply


def _is_unknown(reply: Reply) -> bool:
    return isinstance(reply, Refusal) and (
        type(reply).__name__ == "NoScriptError" or refuses_hash(reply)
    )
