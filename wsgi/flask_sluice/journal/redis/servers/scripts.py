"""Lua scripts, each of which Redis runs as one step."""

import hashlib
from collections.abc import Sequence

from flask_sluice.journal.errors import JournalUnavailableError
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.connection import Refusal, Reply, refuses_hash
from flask_sluice.journal.redis.servers.packing import Command


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


def run(client: RedisClient, *calls: Call) -> list[Reply | JournalUnavailableError]:
    """Run scripts, in order where their keys are in one slot.

    Return a reply for each, which may be a Refusal; or why it is not known whether it was run. Raises JournalUnavailableError where
    that is not known of any.
    """
    outcomes = _run_each(client, [script.by_hash(keys, given) for script, keys, given in calls])
    unknown = [place for place, outcome in enumerate(outcomes) if _is_unknown(outcome)]
    if unknown:
        texts = [
            script.by_text(keys, given) for script, keys, given in map(calls.__getitem__, unknown)
        ]
        for place, outcome in zip(unknown, _run_each(client, texts), strict=True):
            outcomes[place] = outcome
    return outcomes


def run_in_order(client: RedisClient, *calls: Call) -> list[Reply | JournalUnavailableError]:
    """Like ``run``, for calls whose order matters: none comes later than the others because Redis did not know its script."""
    return _run_each(client, [script.by_text(keys, given) for script, keys, given in calls])


def run_one(client: RedisClient, call: Call) -> Reply:
    """Run a script. Raises JournalUnavailableError, also where Redis refuses it."""
    (outcome,) = run(client, call)
    return reply_of(client, outcome)


def reply_of(client: RedisClient, outcome: Reply | JournalUnavailableError) -> Reply:
    """Raises JournalUnavailableError where there is none, also where Redis refuses the command."""
    if isinstance(outcome, JournalUnavailableError):
        raise outcome
    if isinstance(outcome, Refusal):
        raise client.health.refused(outcome)
    return outcome


def ask_each(client: RedisClient, commands: Sequence[Command]) -> list[Reply | None]:
    """Execute commands of any keys. Return a reply for each; None where there is none, which is noted in the client's health."""
    return [
        None if isinstance(outcome, (JournalUnavailableError, Refusal)) else outcome
        for outcome in _run_each(client, commands)
    ]


def _run_each(
    client: RedisClient, commands: Sequence[Command]
) -> list[Reply | JournalUnavailableError]:
    """Execute each command by itself: where one of several servers does not answer, the others do."""
    if not commands:
        return []
    return [
        result if isinstance(result, JournalUnavailableError) else result[0]
        for result in client.transactions([[command] for command in commands])
    ]


def _is_unknown(outcome: object) -> bool:
    """Return whether Redis has been started anew, or has never had the script, or takes none by its hash."""
    return isinstance(outcome, Refusal) and (
        type(outcome).__name__ == "NoScriptError" or refuses_hash(outcome)
    )
