"""Whether an upstream is asked at present."""

FAILURES_UNTIL_OUT = 3
OUT_SECONDS = 10.0


class Health:
    """Leaves an upstream alone for ten seconds after three failures in a row; then one request tries it.

    All times are in monotonic seconds.
    """

    def __init__(self) -> None:
        self._failures = 0
        """In a row."""
        self._out_until = 0.0
        self._is_on_trial = False

    def is_out(self, now: float) -> bool:
        """Whether no request is to be sent at present."""
        has_failed = self._failures >= FAILURES_UNTIL_OUT
        return has_failed and (now < self._out_until or self._is_on_trial)

    def begin_request(self) -> None:
        self._is_on_trial = self._failures >= FAILURES_UNTIL_OUT

    def record_success(self) -> None:
        self._failures = 0
        self._is_on_trial = False

    def record_failure(self, now: float) -> None:
        self._failures += 1
        self._is_on_trial = False
        self._out_until = now + OUT_SECONDS

    def record_no_result(self) -> None:
        """Note that the request ended, through the client or this process, before the upstream could show how it is."""
        self._is_on_trial = False
