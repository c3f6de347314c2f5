"""The table in docs/servers.md, made of what the behaviours gave on each server.

``python -m tests.servers.table`` runs all of them and writes results.json and the table; it writes nothing if one fails.
``python -m tests.servers.table gthread sync`` runs these servers only.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.servers import behaviours, differences
from tests.servers.environments import Environments
from tests.servers.running import RunningServer
from tests.servers.wsgi_servers import SERVERS, WsgiServer
from tests.support.server import ROOT

PAGE = ROOT / "docs/servers.md"
RESULTS = Path(__file__).with_name("results.json")
BEGIN = "<!-- `make servers-table` writes what follows. -->\n"
END = "<!-- Until here. -->\n"

Behaviour = Callable[[RunningServer], str]
COMMON: dict[str, Behaviour] = {
    "Each event is sent when the generator yields it.": behaviours.events_come_one_by_one,
    "Silence is filled with keep-alive comments, also before the first event.": behaviours.silence_is_filled_with_comments,
    "The deadline ends a stream with an error event.": behaviours.the_deadline_ends_it_with_an_error_event,
    "An exception becomes one error event, and the body ends properly.": behaviours.an_exception_becomes_one_error_event,
    "Text that is cut anywhere arrives as whole events, and no comment comes between its pieces.": behaviours.text_cut_anywhere_arrives_as_whole_events,
    "Status and headers are those that the view gives, without hop-by-hop headers.": behaviours.status_and_headers_are_those_given,
    "With `hold_headers`, an exception before the first event is answered by the app's own error handler.": behaviours.an_early_exception_becomes_the_apps_own_response,
    "A HEAD request gets the headers and runs no generator.": behaviours.head_runs_no_generator,
    "`stream_with_context` gives the generator the request, which is torn down when the stream ends.": behaviours.stream_with_context_works_and_is_torn_down_at_the_end,
    "A client that leaves after the terminal event does not cut short what the generator saves.": behaviours.a_leaver_does_not_cut_what_is_saved_after_the_last_event,
    "A generator that yields ends soon after its client has left, and `on_disconnect` is called.": behaviours.a_leaver_ends_a_generator_that_yields,
    "A cut stream does not look like a whole one to a client that has closed its sending side only.": behaviours.a_cut_stream_does_not_look_whole,
    "After 240 aborted streams there are no more threads, files, greenlets or streams than before, and no error in the log.": behaviours.nothing_leaks_from_aborted_streams,
}
"""What all servers give: a sentence, and what looks whether it is true."""

DIFFERENT: dict[str, Behaviour] = {
    "other requests meanwhile": differences.others_are_answered_meanwhile,
    "a client that leaves during silence is noticed": differences.a_leaver_is_noticed_during_silence,
    "then a blocked generator ends": differences.a_blocked_generator_is_ended,
    "a reader that stands still holds the generator": differences.a_reader_that_stands_still_holds_the_generator,
    "a killed process shows as a cut": differences.a_killed_process_is_no_end_of_a_stream,
}
"""The columns of the table. The last one leaves the server dead."""

SIGTERM = "after SIGTERM a stream"
"""The last column, for which each server is started once more."""

Results = dict[str, dict[str, str]]
"""What each server gave: by its id, then by the column."""


def recorded() -> Results:
    results: Results = json.loads(RESULTS.read_text())
    return results


def render(results: Results) -> str:
    """Return the text between BEGIN and END."""
    lines = ["On every server of the table:", "", *(f"- {sentence}" for sentence in COMMON), ""]
    columns = [*DIFFERENT, SIGTERM]
    lines.append("| " + " | ".join(["server", *columns]) + " |")
    lines.append("|---" * (1 + len(columns)) + "|")
    for server in SERVERS:
        words = (results[server.id][column] for column in columns)
        lines.append("| " + " | ".join([server.title, *words]) + " |")
    return "\n".join(lines) + "\n"


def generated_part(page: str) -> str:
    """Return what the page has between BEGIN and END."""
    return page.partition(BEGIN)[2].partition(END)[0]


def measure(server: WsgiServer, environments: Environments) -> dict[str, str]:
    """Return what the server gives; AssertionError for what it has to give, and does not."""
    with RunningServer(server, environments) as running:
        for sentence, behaviour in COMMON.items():
            assert behaviour(running) == behaviours.YES, sentence
        results = {column: behaviour(running) for column, behaviour in DIFFERENT.items()}
    with RunningServer(server, environments) as running:
        return {**results, SIGTERM: differences.a_stream_after_sigterm(running)}


def main(ids: list[str]) -> None:
    environments = Environments()
    results = recorded() if RESULTS.exists() else {}
    for server in SERVERS:
        if not ids or server.id in ids:
            print(server.title, flush=True)
            results[server.id] = measure(server, environments)
            print("  ", results[server.id], flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + render(results) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main(sys.argv[1:])
