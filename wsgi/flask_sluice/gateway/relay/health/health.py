"""Whether an upstream is asked at present."""

FAILURES_UNTIL_OUT = 3
OUT_SECONDS = 10.0


class Health:
    """Leaves an upstream alone for ten seconds after three failures in a row; then one request at a time tries it.

    A request that waited for its whole time while nothing else was answered either counts as three: each further one would
    wait as long. Where health requests are sent, three that fail in a row take the upstream out, too, until one succeeds.

    All times are in monotonic seconds.
    """

    def __init__(self) -> None:
        self._failures = 0
        """In a row."""
        self._out_until = 0.0
        self._begun = 0
        """How many requests there were; each is known by its number."""
        self._answered = 0
        """How many had begun when the last one was answered."""
        self._trial = 0
        """The request that tries whether the upstream is back; 0 for none."""
        self._failed_checks = 0
        """In a row."""
        self._check_problem = ""

    def is_out(self, now: float) -> bool:
        """Whether no request is to be sent at present."""
        return self._is_out_by_check or (
            self._has_failed and (now < self._out_until or self._trial != 0)
        )

    def problem(self, now: float) -> str | None:
        """Why no request is to be sent at present; None if requests are sent."""
        if self._is_out_by_check:
            return f"its health request fails: {self._check_problem}"
        return "it has failed three times running" if self.is_out(now) else None

    @property
    def is_well(self) -> bool:
        """Whether health requests do not say otherwise."""
        return not self._is_out_by_check

    @property
    def _has_failed(self) -> bool:
        return self._failures >= FAILURES_UNTIL_OUT

    @property
    def _is_out_by_check(self) -> bool:
        return self._failed_checks >= FAILURES_UNTIL_OUT

    def begin_request(self) -> int:
        """Return the number of a request that is sent now."""
        self._begun += 1
        if self._has_failed and not self._trial:
            self._trial = self._begun
        return self._begun

    def record_success(self, request: int | None = None) -> None:  # noqa: ARG002 - as the others
        self._failures = 0
        self._trial = 0
        self._answered = self._begun

    def record_failure(
        self, now: float, request: int | None = None, *, was_silent: bool = False
    ) -> None:
        """Note that a request failed.

        was_silent: whether the upstream took it and did not answer in its time
        """
        self._failures += 1
        if was_silent and request is not None and request > self._answered:
            self._failures = max(self._failures, FAILURES_UNTIL_OUT)
        self._end_trial(request)
        self._out_until = now + OUT_SECONDS

    def record_no_result(self, request: int | None = None) -> None:
        """Note that the request ended, through the client or this process, before the upstream could show how it is."""
        self._end_trial(request)

    def record_check(self, problem: str | None) -> None:
        """Note the outcome of a health request. problem: why the upstream is not well; None if it is"""
        if problem is not None:
            self._failed_checks += 1
            self._check_problem = problem
            return
        if self._is_out_by_check:
            # What failed meanwhile failed for the same reason.
            self._failures = 0
        self._failed_checks = 0

    def _end_trial(self, request: int | None) -> None:
        """Let another request try it; one that was sent before the trial says nothing about that."""
        if request is None or request == self._trial:
            self._trial = 0
