"""The benchmarks' own parts count right, and each case still runs. What they measure is for ``make bench``."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import processes, servers
from benchmarks.__main__ import write
from benchmarks.bench import SLUICE, Bench
from benchmarks.cases import CASES
from benchmarks.figures import cpu_cell
from benchmarks.load import Result
from benchmarks.measure import Scale, Target
from benchmarks.processes import Process
from benchmarks.report import Bars, Lines, Section, Table
from benchmarks.usage import Usage
from tests.support.server import ROOT
from tests.support.stream import chat

pytestmark = pytest.mark.slow

SMALL = Scale(
    rounds=1,
    window_seconds=0.5,  # Machines of tests stand still for a tenth of a second now and then.
    events_per_second=1000,
    slow_events_per_second=500,
    streams=5,
    more_streams=(5, 10),
    flat_out=(3, 40),
    short_answers=6,
    short_at_once=3,
    idle_relayed=(20,),
    idle_simulated=(20, 30),
    cancels=2,
    codec_events=100,
    kept_streams=((5, 20),),
    followed_streams=((5, 20), (10, 10)),
)
PEERS = [
    servers.nginx,
    servers.go_reverse_proxy,
    servers.gevent_generator,
    servers.starlette_httpx,
    servers.sse_starlette_httpx,
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Process]:
    with processes.started(processes.upstream) as process:
        yield process


@contextmanager
def relay(start, upstream):
    with start(upstream.port) as process:
        yield Target(process, upstream)


@pytest.mark.parametrize("together", [1, 4])
def test_the_load_counts_what_the_upstream_sends(upstream, together):
    result = Target(upstream, None).answers(events=7, at_once=3, answers=8, together=together)
    assert (result.answers, result.events, result.errors) == (8, 8 * 7, 0)
    assert len(result.first_events) == 8
    assert 0 < min(result.first_events) <= max(result.first_events) < result.usage.wall
    assert 0 <= result.first_event_spread < result.usage.wall


@pytest.mark.measures
def test_the_load_counts_what_streams_that_stay_open_bring_within_its_window(upstream):
    result = Target(upstream, None).open_streams(streams=5, interval_ms=10, window_seconds=0.5)
    assert result.answers == 5
    assert result.events == pytest.approx(5 * 50, rel=0.5)  # Also what the machine was late with.
    assert len(result.delays) == pytest.approx(result.events, rel=0.2)
    assert 0 < min(result.delays) <= max(result.delays) < 1
    assert result.memory.uss > 0


def test_a_relayed_answer_counts_the_same(upstream):
    with relay(servers.sluice, upstream) as sluice:
        result = sluice.answers(events=7, at_once=3, answers=8)
    assert (result.answers, result.events, result.errors) == (8, 8 * 7, 0)


def test_the_cpu_that_is_told_is_what_the_server_took_for_its_answers(upstream):
    with relay(servers.sluice, upstream) as sluice:
        sluice.answers(events=1, at_once=1, answers=1)  # It listens before its worker has started.
        before = sluice.server.cpu_seconds()
        result = sluice.answers(events=7, at_once=3, answers=100)
        around = sluice.server.cpu_seconds() - before
    # By the same clock, and in the time around it the server had nothing else to do.
    assert around / 2 < result.usage.server <= around


def test_refused_answers_are_no_measurement():
    with (
        servers.sluice(None) as simulator,
        pytest.raises(RuntimeError, match="2 of 2 answers failed"),
    ):
        Target(simulator, None).answers(events=7, at_once=2, answers=2)


@pytest.fixture(scope="module")
def cut_streams():
    """Each is closed after its third token."""
    simulator = {"itl_ms": 10, "tokens": 1000, "fault": {"kind": "cut", "after": 3}}
    body = json.dumps(chat(simulator=simulator))
    with servers.sluice(None) as server:
        yield Target(server, None, body=body)


def test_a_stream_that_is_closed_is_told(cut_streams):
    assert cut_streams.open_streams(streams=1, interval_ms=10, window_seconds=0.1).errors == 1


def test_streams_that_are_closed_are_no_measurement(cut_streams):
    with pytest.raises(RuntimeError, match=r"streams ended that should not|connection was closed"):
        cut_streams.open_streams(streams=3, interval_ms=10, window_seconds=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("start", PEERS, ids=lambda start: start.__name__)
def test_each_peer_passes_on_what_the_upstream_sends(start, upstream):
    if start is servers.go_reverse_proxy and not shutil.which("go"):
        pytest.skip("Go is not installed")
    with relay(start, upstream) as peer:
        result = peer.answers(events=7, at_once=3, answers=8)
    assert (result.answers, result.events) == (8, 8 * 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_each_case_fills_its_tables(name, upstream):
    bench = Bench(SMALL, upstream, {"nginx": servers.nginx, SLUICE: servers.sluice}, slow={})
    section = CASES[name](bench)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert tables
    for table in tables:
        assert len(table.rows) >= 2
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_ratio_is_that_of_servers_in_the_same_round():
    def round_of(cpu_seconds):
        return Result(events=1000, usage=Usage(wall=1, server=cpu_seconds, load=0, machine=0))

    rounds = {
        "nginx": [round_of(0.010), round_of(0.020), round_of(0.030)],
        SLUICE: [round_of(0.020), round_of(0.050), round_of(0.045)],
    }
    assert cpu_cell(rounds, "nginx") == "20.0"
    assert cpu_cell(rounds, SLUICE) == "45.0 (2.00; 1.50–2.50)"


def test_a_run_is_written_as_markdown_with_charts(tmp_path):
    lines = Lines("lines", "Lines", "streams", "µs", [50, 200], {"nginx": [1.0, 2.0]})
    bars = Bars("bars", "Bars", "µs", {"nginx": 1.0, SLUICE: 2.0})
    table = Table(["", "µs"], [["nginx", "1.0"]])
    write("# All", [Section("One", "How.", [table, lines, bars], ["A note."])], tmp_path)
    assert (tmp_path / "RESULTS.md").read_text() == (
        "# All\n\n## One\n\nHow.\n\n|  | µs |\n| --- | --: |\n| nginx | 1.0 |\n\n"
        "![Lines](plots/lines.png)\n\n![Bars](plots/bars.png)\n\nA note.\n"
    )
    for name in ("lines", "bars"):
        assert (tmp_path / f"plots/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_processes_that_start_servers_at_once_get_ports_of_their_own():
    # 400 of 12,000 at random would be different once in a thousand times.
    program = "import benchmarks.ports as p; print(*[p.free_port() for _ in range(50)]); input()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    ports = [port for process in processes for port in process.stdout.readline().split()]
    for process in processes:
        process.communicate("\n")
    assert len(ports) == len(set(ports)) == 400


def test_the_bench_runs_on_the_python_that_is_asked_for():
    plan = ["make", "--dry-run", "--always-make", "bench", "PYTHON=another"]
    printed = subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "another -m venv .venv-bench" in printed
