"""The times between the events of a recorded answer."""

import json
from pathlib import Path

from flask_sluice.gateway.simulator.bounds import MAX_TIMES
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError

_MAX_BYTES = 64 * 1024 * 1024


def times_of(path: Path) -> list[float]:
    """Return the seconds before each event of a recording: the first since the request, each other since the one before.

    Those after the first ``MAX_TIMES`` are left out.

    path: a file of ``SLUICE_RECORD``: lines of JSON, of which those with ``event`` have ``at_seconds``

    Raises ScenarioError.
    """
    times: list[float] = []
    before = 0.0
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ScenarioError(f"times: {path} is larger than 64 MiB", field="times")
        with path.open(encoding="utf-8") as file:
            for line in file:
                fields = json.loads(line)
                if "event" in fields and len(times) < MAX_TIMES:
                    at = float(fields["at_seconds"])
                    times.append(round(max(0.0, at - before), 6))
                    before = at
    except OSError as error:
        raise ScenarioError(
            f"times: {path} cannot be read: {error.strerror}", field="times"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ScenarioError(f"times: {path} is not a recording", field="times") from None
    if not times:
        raise ScenarioError(f"times: {path} has no events", field="times")
    return times
