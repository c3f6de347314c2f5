"""What is measured: each case is a function from the bench to a section of the report."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.cases.answers import flat_out, short
from benchmarks.cases.cancelling import cancelling
from benchmarks.cases.idle import idle
from benchmarks.cases.kept import kept
from benchmarks.cases.paced import more_streams, paced
from benchmarks.cases.parsing import parsing
from benchmarks.cases.resumable import resumable
from benchmarks.report import Section

CASES: dict[str, Callable[[Bench], Section]] = {
    "paced": paced,
    "more-streams": more_streams,
    "flat-out": flat_out,
    "short": short,
    "idle": idle,
    "cancelling": cancelling,
    "resumable": resumable,
    "kept": kept,
    "parsing": parsing,
}
