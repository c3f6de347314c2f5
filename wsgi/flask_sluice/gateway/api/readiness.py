"""Whether the next chat would be served, and how everything is that it may need."""

import time
from collections.abc import Callable
from functools import partial

from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.journal import Journal
from flask_sluice.server.worker_board import WorkerBoard, WorkerState
from flask_sluice.stream import registry
from flask_sluice.stream.loop.looks import Looks

_LOOK_SECONDS = 0.7
"""Load balancers and Kubernetes wait for a second, if they are not told otherwise."""
_OK = "ok"


class Readiness:
    """Looks at this server's workers, at the upstreams and at the journal.

    Only what would refuse the next chat makes a server unready: a load balancer takes it out of service, with all that it
    could still do. Of several workers one is enough, since a new connection goes to one that has room.
    """

    def __init__(self, upstreams: Upstreams, journal: Journal, board: WorkerBoard) -> None:
        self._upstreams = upstreams
        self._journal = journal
        self._board = board
        self._looks = Looks()

    def report(self) -> tuple[bool, dict[str, object]]:
        """Return whether the server is ready, and a document that says why. Takes less than a second."""
        admission = registry.admission()
        others = [worker for worker in self._board.workers() if worker.number != self._own_number]
        looks: dict[str, Callable[[], str]] = {
            upstream.url: partial(_upstream_state, upstream) for upstream in self._upstreams.all
        }
        if self._journal.is_shared:
            looks["redis"] = self._redis_state
        late = f"out: no answer within {_LOOK_SECONDS:g} s"
        seen = self._looks.at(looks, _LOOK_SECONDS)
        states = {name: state or late for name, state in seen.items()}
        redis = states.pop("redis", None)
        reasons = []
        if self._is_ending(others):
            reasons.append("draining")
        elif admission.is_full and not any(_has_room(worker) for worker in others):
            reasons.append("overloaded")
        if states and _OK not in states.values():
            reasons.append("no upstream can be reached")
        document: dict[str, object] = {
            "status": "; ".join(reasons) or _OK,
            "streams": admission.count + sum(worker.streams for worker in others),
            "workers": self._workers(),
        }
        if states:
            document["upstreams"] = states
        if redis is not None:
            document["redis"] = redis
        return not reasons, document

    def _redis_state(self) -> str:
        # What the log says at present, also of channels and rate limits.
        return registry.redis_outages().reason or self._journal.problem() or _OK

    def _is_ending(self, others: list[WorkerState]) -> bool:
        own = self._own_state()
        stays = not registry.admission().is_draining if own is None else own.is_staying
        return not (stays or any(worker.is_staying for worker in others))

    @property
    def _own_number(self) -> int | None:
        return None if self._board.own_row is None else self._board.own_row.number

    def _own_state(self) -> WorkerState | None:
        """Return this worker as the board has it; None under another server than ours."""
        for worker in self._board.workers():
            if worker.number == self._own_number:
                return worker
        return None

    def _workers(self) -> list[dict[str, object]]:
        return [
            {
                "worker": worker.number,
                "state": worker.stage.name.lower(),
                "streams": worker.streams,
                "limit": worker.limit,
            }
            for worker in self._board.workers()
        ]


def _has_room(worker: WorkerState) -> bool:
    return worker.is_staying and not worker.is_full


def _upstream_state(upstream: Upstream) -> str:
    if problem := upstream.problem(time.monotonic()):
        return f"out: {problem}"
    if not upstream.accepts_connections(_LOOK_SECONDS):
        return "out: it takes no connection"
    return _OK
