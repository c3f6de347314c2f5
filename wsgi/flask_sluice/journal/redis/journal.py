"""The journal in Redis, for any number of workers on any number of hosts."""

from flask_sluice.journal.per_process import PerProcessJournal
from flask_sluice.journal.protocol import Limits
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.credentials import RedisCredentials
from flask_sluice.journal.redis.store import RedisStore
from flask_sluice.journal.turns import turns_of_process


class RedisJournal(PerProcessJournal[RedisStore]):
    """See ``Journal``. Connects when it is used first.

    url, credentials: see ``Address.parse``
    lost_event: the terminal event, without an id, of a stream whose producer has died
    lease_seconds: a worker that Redis has not heard of for so long is taken for dead. Readers are told within another
        third of that

    Raises ValueError for a URL that cannot be read, TypeError for credentials that are none.
    """

    is_shared = True

    def __init__(
        self,
        url: str,
        limits: Limits,
        *,
        lost_event: bytes,
        lease_seconds: float = 6.0,
        credentials: RedisCredentials | None = None,
    ) -> None:
        # A bad URL is to fail here, at the start, and not in the first request of each worker.
        RedisClient(url, "", credentials=credentials)
        super().__init__(
            lambda: RedisStore(
                url,
                limits,
                turns_of_process(),
                lost_event=lost_event,
                lease_seconds=lease_seconds,
                credentials=credentials,
            )
        )
