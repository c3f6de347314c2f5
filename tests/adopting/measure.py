"""Measures what an app gains and loses with ``sse_response``: ``python -m tests.adopting.measure``.

The app is the one in the shape of DocsGPT, before and after, on gunicorn's gthread and gevent workers. Prints the table of
docs/adopting.md. Takes about ten minutes; the figures mean something on a machine that does nothing else.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.adopting.variants import OnServer, noted, serve, stream, tell
from tests.support.server import Server, wait_until

APP = "kept_answer"
KINDS = ("gthread", "gevent")
OPEN_STREAMS = 100
PREFILL_SECONDS = 4.0
SILENCE_SECONDS = 20.0
EVENTS = 20_000

Measure = Callable[[str, bool], float]


@contextmanager
def served(kind: str, is_adopted: bool, threads: int = 2 * OPEN_STREAMS) -> Iterator[OnServer]:
    # The generators that still sleep would have gunicorn wait for them.
    arguments = ["--graceful-timeout", "1"]
    if kind == "gthread":
        arguments += ["--threads", str(threads)]
    with serve(kind, *arguments, is_adopted=is_adopted) as variant:
        yield variant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken")
    rounds = parser.parse_args().rounds
    print(
        "| median of", rounds, "|", " | ".join(f"{kind}, {when}" for kind, when in _columns()), "|"
    )
    print("|---|" + "---|" * len(_columns()))
    for name, measure in MEASURES.items():
        # Timers alone decide how long a silence lasts.
        times = 1 if measure is longest_silence else rounds
        found = [
            statistics.median(measure(kind, when == "after") for _ in range(times))
            for kind, when in _columns()
        ]
        print(f"| {name} |", " | ".join(f"{value:.3g}" for value in found), "|", flush=True)


def _columns() -> list[tuple[str, str]]:
    return [(kind, when) for kind in KINDS for when in ("before", "after")]


def until_work_stops(kind: str, is_adopted: bool) -> float:
    """Seconds from a client's leaving between two words, half a second apart, to the generator's end."""
    with served(kind, is_adopted) as variant:
        with variant.reading(APP, key="a", words=1000, pause=0.5) as body:
            body.until(b"rd-0")
        left_at = time.monotonic()
        return _ended_at(variant) - left_at


def until_work_stops_in_prefill(kind: str, is_adopted: bool) -> float:
    """Seconds from a client's leaving, soon after the start of a prefill, to the generator's end."""
    with served(kind, is_adopted) as variant:
        with variant.reading(APP, key="a", words=1000, pause=0.5, prefill=PREFILL_SECONDS):
            wait_until(lambda: "torn down" in noted(variant, APP, "a"))
        left_at = time.monotonic()
        return _ended_at(variant) - left_at


def until_thread_is_free(kind: str, is_adopted: bool) -> float:
    """Seconds from a client's leaving in a prefill to the next answer of a server with one thread."""
    with served(kind, is_adopted, threads=1) as variant:
        with variant.reading(APP, key="a", words=1000, pause=0.5, prefill=PREFILL_SECONDS):
            # The server has taken the request when it has nothing of it left to read.
            time.sleep(0.3)
        left_at = time.monotonic()
        tell(variant, APP, "/noted/a")
        return time.monotonic() - left_at


def threads_per_stream(kind: str, is_adopted: bool) -> float:
    return _per_stream(kind, is_adopted, "Threads")


def kib_per_stream(kind: str, is_adopted: bool) -> float:
    return _per_stream(kind, is_adopted, "VmRSS")


def kib_per_stream_with_own_thread(kind: str, is_adopted: bool) -> float:
    """With the thread and the queue that the app has for its comments, before and after."""
    return _per_stream(kind, is_adopted, "VmRSS", comments=15)


def longest_silence(kind: str, is_adopted: bool) -> float:
    """The longest silence on the wire, in seconds, while the model takes its time."""
    with served(kind, is_adopted) as variant:
        with variant.reading(APP, key="a", words=1, prefill=SILENCE_SECONDS) as body:
            times = [time.monotonic()]
            while body.chunk():
                times.append(time.monotonic())
        return max(later - sooner for sooner, later in itertools.pairwise(times))


def cpu_per_event(kind: str, is_adopted: bool) -> float:
    """Microseconds of the worker's CPU time for each event, as fast as they go."""
    with served(kind, is_adopted) as variant:
        stream(variant, APP, key="warm", words=100, pause=0)
        before = _cpu_seconds(variant.server)
        stream(variant, APP, key="a", words=EVENTS, pause=0)
        return (_cpu_seconds(variant.server) - before) / EVENTS * 1e6


MEASURES: dict[str, Measure] = {
    "client leaves to end of the work, a word each 0.5 s (s)": until_work_stops,
    f"client leaves to end of the work, in a prefill of {PREFILL_SECONDS:g} s (s)": until_work_stops_in_prefill,
    f"client leaves to free thread, in a prefill of {PREFILL_SECONDS:g} s (s)": until_thread_is_free,
    f"longest silence in a prefill of {SILENCE_SECONDS:g} s (s)": longest_silence,
    "threads an open stream": threads_per_stream,
    "KiB an open stream": kib_per_stream,
    "KiB an open stream, with the app's own keep-alive thread": kib_per_stream_with_own_thread,
    "CPU time an event, flat out (µs)": cpu_per_event,
}


def _ended_at(variant: OnServer) -> float:
    def find() -> float | None:
        notes = dict(tell(variant, APP, "/noted/a")["notes"])
        return notes.get("aborted")

    ended_at = wait_until(find, timeout_seconds=30)
    assert ended_at is not None
    return ended_at


def _per_stream(kind: str, is_adopted: bool, field: str, **arguments: object) -> float:
    """What an open and silent stream adds to a field of the worker's /proc/PID/status."""
    with served(kind, is_adopted) as variant:
        stream(variant, APP, key="warm", words=1, **arguments)
        before = _status(variant.server, field)
        with ExitStack() as stack:
            for number in range(OPEN_STREAMS):
                key = f"open-{number}"
                stack.enter_context(variant.reading(APP, key=key, prefill=600, **arguments))
            _until_open(variant)
            return (_status(variant.server, field) - before) / OPEN_STREAMS


def _until_open(variant: OnServer) -> None:
    wait_until(lambda: "torn down" in noted(variant, APP, f"open-{OPEN_STREAMS - 1}"))
    wait_until(lambda: "torn down" in noted(variant, APP, "open-0"))


def _status(server: Server, field: str) -> int:
    (worker,) = server.workers()
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _cpu_seconds(server: Server) -> float:
    (worker,) = server.workers()
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
