"""How much of a channel is kept."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Which of a channel's events are kept for readers that come back: those that are within all three limits.

    history_events: how many
    history_bytes: how many bytes in all
    history_seconds: how old
    """

    history_events: int = 1000
    history_bytes: int = _MIB
    history_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("history_events", "history_bytes", "history_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name} takes a number greater than 0, got {value!r}")
