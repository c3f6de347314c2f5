"""How many of something each owner has, and may have."""

import os
from collections import Counter

from flask_sluice.stream.errors import ApiError

_RETRY_SECONDS = 5


class PerOwner:
    """Counts what each owner has on this worker, such as running streams.

    limit: the most that one may have; None: any number. An owner without a name ("") has no limit
    what: names it in the message
    """

    def __init__(self, limit: int | None, what: str) -> None:
        self._limit = limit
        self._what = what
        self._counts: Counter[str] = Counter()
        self._pid = os.getpid()

    def add(self, owner: str, limit: int | None = None) -> None:
        """Check and count one more, in one step. Raises ApiError 429 at the limit.

        limit: in place of the one for all owners; None: that
        """
        limit = self._limit if limit is None else limit
        if os.getpid() != self._pid:
            # After a fork: what was counted is the parent's.
            self._counts, self._pid = Counter(), os.getpid()
        count = self._counts[owner]
        if owner and limit is not None and count >= limit:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"{count} {self._what}, the limit",
                headers={"Retry-After": str(_RETRY_SECONDS)},
            )
        self._counts[owner] += 1

    def remove(self, owner: str) -> None:
        """Count one less. The process that has counted it calls this."""
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]
