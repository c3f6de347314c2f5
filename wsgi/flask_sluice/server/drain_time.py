"""How long the streams of a worker that is to end may go on: by the environment, within gunicorn's ``graceful_timeout``."""

import math
import os

END_SECONDS = 10.0
"""The part of ``graceful_timeout`` in which streams that were told to end do so."""


def drain_seconds_of(graceful_timeout: float) -> float:
    """Return how long a worker's streams may go on when it ends.

    That is ``SLUICE_DRAIN_SECONDS``, or what fits into gunicorn's ``graceful_timeout``, whichever is shorter: gunicorn kills
    a worker that is still there when that is over.
    """
    fitting = max(graceful_timeout - END_SECONDS, graceful_timeout / 3)
    return min(fitting, seconds_from_environment("SLUICE_DRAIN_SECONDS", fitting))


def drain_delay_seconds() -> float:
    """Return for how long a server that was told to end serves on, and says that it will."""
    return seconds_from_environment("SLUICE_DRAIN_DELAY_SECONDS", 0.0, may_be_zero=True)


def seconds_from_environment(variable: str, default: float, *, may_be_zero: bool = False) -> float:
    """Return a variable's number of seconds. Exits with one line that names the variable if it is something else."""
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (0 < seconds < math.inf or (may_be_zero and seconds == 0)):
        takes = "a number of seconds" + (", 0 for none" if may_be_zero else " > 0")
        raise SystemExit(f"sluice: {variable}: got {text!r}, takes {takes}")
    return seconds
