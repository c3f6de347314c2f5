"""How often a worker says that it lives, and how long others wait before they doubt it."""

from dataclasses import dataclass

from flask_sluice.journal.protocol import Limits
from flask_sluice.journal.redis.keys_and_commands import milliseconds

_STEPS_PER_LEASE = 6
_ROUNDS_PER_LEASE = 3
_PATIENCE_LEASES = 5
_MAX_RENEWAL_SECONDS = 30.0
"""A name alone, which Redis has evicted, is there again after this."""


@dataclass(frozen=True)
class LeaseTimes:
    """All of them follow from the limits and from the time after which a worker that says nothing is taken for dead."""

    limits: Limits
    lease_seconds: float

    @property
    def pause_seconds(self) -> float:
        """Between two renewals of the lease."""
        return self.lease_seconds / _STEPS_PER_LEASE

    @property
    def round_seconds(self) -> float:
        """Between two renewals of the streams that a worker produces, and of what it says of those that it follows."""
        return self.lease_seconds / _ROUNDS_PER_LEASE

    @property
    def lease_doubt_seconds(self) -> float:
        """A producer that lives has renewed its lease within these."""
        return 1.5 * self.pause_seconds

    @property
    def doubt_seconds(self) -> float:
        """A producer that lives has renewed all its keys within these."""
        return 1.5 * self.round_seconds

    @property
    def silence_seconds(self) -> float:
        """A producer has answered its follower, which asks once in a round, within these."""
        return 2.5 * self.round_seconds

    @property
    def patience_seconds(self) -> float:
        """How long a reader waits for an event while Redis does not work."""
        return _PATIENCE_LEASES * self.lease_seconds

    @property
    def lease_ms(self) -> int:
        return milliseconds(self.lease_seconds)

    @property
    def history_ms(self) -> int:
        return milliseconds(self.limits.history_seconds)

    @property
    def running_ms(self) -> int:
        """For how long a running stream is renewed. It expires when all workers are dead."""
        return milliseconds(max(self.limits.history_seconds, 2 * self.lease_seconds))

    @property
    def renewal_seconds(self) -> float:
        """Between two commands that have a running stream expire later."""
        return min(self.running_ms / 1000 / 4, _MAX_RENEWAL_SECONDS)

    @property
    def name_ms(self) -> int:
        """Until the next renewal, and then for as long as the stream of this name is kept."""
        return self.running_ms + milliseconds(self.renewal_seconds + 2 * self.round_seconds)

    @property
    def readers_ms(self) -> int:
        """Until the next round, and then as long as a stream may run without readers: so its producer need not be told
        when the last reader leaves.
        """
        return milliseconds(self.limits.abandon_seconds + self.round_seconds)
