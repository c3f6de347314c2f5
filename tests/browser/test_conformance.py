"""Compares EventSource and FetchEventSource in Chromium. docs/conformance.md is generated from the comparison."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conformance_cases import WIRE_GROUPS, Case
from tests.browser.conformance_page_cases import PAGE_GROUPS
from tests.browser.conformance_server_cases import SERVER_GROUPS
from tests.browser.event_server import EventServer, Request
from tests.support.server import ROOT

pytestmark = pytest.mark.slow

TABLE = ROOT / "docs" / "conformance.md"
UPDATE = "UPDATE_CONFORMANCE"
CLIENTS = ("EventSource", "FetchEventSource")
ALL_GROUPS = {**WIRE_GROUPS, **PAGE_GROUPS, **SERVER_GROUPS}
INTRODUCTION = """\
# EventSource and FetchEventSource side by side

`tests/browser/test_conformance.py` generates this page. It runs both clients in Chromium against the same bytes, and fails
if they differ, or if this page does not show what they did. In {differences} of the {cases} cases they differ on purpose; the
table gives the reason. The cases cover the subjects of the folder `eventsource/` of web-platform-tests, and the ways in which
a server of streams can fail.

`error: reconnects` and `error: closed` are the event `error` with readyState CONNECTING and CLOSED. The words in brackets are
the kinds of FetchEventSource's errors; an error of EventSource has no kind.

The tables cannot show three differences, which are also on purpose or due to fetch:

- FetchEventSource waits longer before it reconnects: for the time of `retry:` (EventSource waits for just that), and then for a
  random part of as long again, and of twice as much with each further failure, up to 30 s. So it reconnects after one to two
  times the time of `retry:`. Without this, all clients of a server that was restarted would come back at the same moment. (The
  tests make the random part 0.)
- When a connection breaks, fetch may drop the bytes that it received just before, while EventSource still dispatches their
  events. The last event id does not move past them, so a reconnection brings them again.
- `window.stop()` ends both for good if a script calls it. A user who presses Escape while the page is still loading does the same
  to EventSource; fetch reports that as a lost connection, so FetchEventSource reconnects."""
CASES = [(group, case) for group, cases in ALL_GROUPS.items() for case in cases]


@dataclass
class Seen:
    """What one client did, as words, and the kinds of its errors (FetchEventSource only)."""

    words: list[str]
    kinds: list[str]


Comparison = dict[tuple[str, str], dict[str, Seen]]
"""Maps the group and the name of a case to what each client did."""


@pytest.fixture
def expected_complaints() -> list[str]:
    """Chromium itself reports streams that fail."""
    return [
        "Failed to load resource: ",
        "EventSource's response has a ",
        "Access to resource at ",
        "Access to fetch at ",
        "exception: thrown by a listener",
        "Not allowed to load local resource: ",
        "Fetch API cannot load ",
        "EventSource cannot load ",
    ]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[EventServer, EventServer]]:
    """Yields the server of the page, and one of another origin."""
    with EventServer() as own, EventServer() as other:
        yield own, other


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    """Holds the one comparison, once the first test has made it."""
    return []


@pytest.fixture
def comparison(
    request: pytest.FixtureRequest,
    comparisons: list[Comparison],
    servers: tuple[EventServer, EventServer],
) -> Comparison:
    # One page runs all cases, so only the first test opens one.
    if not comparisons:
        page = request.getfixturevalue("page")
        comparisons.append(compare(page, servers))
    return comparisons[0]


def compare(page: Page, servers: tuple[EventServer, EventServer]) -> Comparison:
    runs = []
    for (index, (_, case)), client in product(enumerate(CASES), CLIENTS):
        server = servers[case.other_origin]
        url = server.script(f"{index}-{client}", *case.answers)
        runs.append({"client": client, "url": url, "script": case.script})
    page.goto(servers[0].url)
    results = page.evaluate(
        """async (runs) => {
            document.cookie = "visitor=7";
            // FetchEventSource adds a random time to the server's reconnection time.
            Math.random = () => 0;
            const {runAll} = await import("/tests/recorder.js");
            return runAll(runs);
        }""",
        runs,
    )
    comparison: Comparison = {}
    for run, result, (group, case) in zip(
        runs, results, chain.from_iterable((c, c) for c in CASES), strict=True
    ):
        requests = servers[case.other_origin].requests_of(run["url"].rpartition("/")[2])
        words = [*result["log"], *words_of(requests, case.shows)]
        comparison.setdefault((group, case.what), {})[run["client"]] = Seen(words, result["kinds"])
    return comparison


def words_of(requests: list[Request], shows: tuple[str, ...]) -> Iterator[str]:
    for request in requests:
        # With the query "read" a page tells its server that it has received the first event.
        if shows and request.query != "read":
            headers = {**request.headers, "query": request.query}
            shown = [f"{name}: {headers[name]}" for name in shows if headers.get(name)]
            yield ", ".join([f"request {request.method}", *shown])


@pytest.mark.parametrize(
    ("group", "case"), CASES, ids=[f"{group}: {case.what}" for group, case in CASES]
)
def test_both_clients_do_the_same_or_the_case_says_why_not(
    comparison: Comparison, group: str, case: Case
) -> None:
    seen = comparison[group, case.what]
    native, ours = seen["EventSource"].words, seen["FetchEventSource"].words
    assert (native != ours) == bool(case.differs), f"{native}\n{ours}"
    assert not [words for words in native + ours if words.startswith("too late")]


def test_the_page_in_docs_shows_what_the_clients_did(comparison: Comparison) -> None:
    table = "\n".join(lines_of(comparison)) + "\n"
    if UPDATE in os.environ:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(table)
    committed = TABLE.read_text() if TABLE.exists() else ""
    assert committed == table, f"{UPDATE}=1 pytest {Path(__file__).relative_to(ROOT)} updates it"


def lines_of(comparison: Comparison) -> Iterator[str]:
    yield INTRODUCTION.format(cases=len(CASES), differences=sum(bool(c.differs) for _, c in CASES))
    for group, cases in ALL_GROUPS.items():
        yield f"\n## {group}\n"
        yield "| | EventSource | FetchEventSource |"
        yield "|---|---|---|"
        for case in cases:
            native, ours = (comparison[group, case.what][client] for client in CLIENTS)
            kinds = f" ({', '.join(ours.kinds)})" if ours.kinds else ""
            does = (
                f"{code(ours.words)}{kinds}: {case.differs}" if case.differs else f"the same{kinds}"
            )
            yield f"| {case.what} | {code(native.words)} | {does} |"


def code(words: list[str]) -> str:
    return " · ".join(f"`{word}`" for word in words)
