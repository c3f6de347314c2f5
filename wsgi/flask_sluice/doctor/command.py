"""The command ``sluice doctor``."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flask_sluice.doctor.examining import examine
from flask_sluice.doctor.http.dialing import CertificateFileError
from flask_sluice.doctor.http.request import UrlError
from flask_sluice.doctor.options import PRESETS, Depth, OptionError
from flask_sluice.doctor.output.documents import as_json, as_junit
from flask_sluice.doctor.output.html import as_html
from flask_sluice.doctor.output.text import TextOutput
from flask_sluice.doctor.report import EXIT_NOT_EXAMINED, GROUPS, Report

_EXIT_NO_OUTPUT = 141
"""128 and the number of SIGPIPE, as shells report it."""
DESCRIPTION = """\
Examine a stream of any server from outside: print what is wrong with it, and
which line to change where. By default it sends a few dozen requests and takes
under a minute; it says what may cost before it begins.
"""
EXAMPLES = """\
examples:
  sluice doctor https://example.org/events
  sluice doctor https://example.org/events --direct http://127.0.0.1:8000/events
  sluice doctor http://127.0.0.1:8000/v1 --model llama --metrics http://127.0.0.1:8000/metrics
  sluice doctor https://example.org/chat --post @question.json -H 'Authorization: Bearer …'

exit codes:
  0    no fault
  1    at least one fault
  2    the stream could not be examined, or the arguments are wrong
  130  interrupted by Ctrl-C
  141  standard output was closed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("url", metavar="URL", help="the stream, or an OpenAI-compatible server")
    parser.add_argument("--post", metavar="BODY|@FILE", help="send this body with POST")
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a further header of each request; repeat it for several. Its value is never printed",
    )
    parser.add_argument(
        "--direct",
        metavar="URL",
        help="the same stream without proxies, to tell which hop is wrong",
    )
    parser.add_argument(
        "--preset", choices=PRESETS, default="auto", help="the kind of stream (default: auto)"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="the model to ask (default: the first listed)"
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="take under 15 seconds")
    depth.add_argument(
        "--thorough", action="store_true", help="also wait through 125 s of silence, and 50 readers"
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=float,
        metavar="SECONDS",
        help="how long a stream without an end is read (default: 5, 10 or 20 by depth)",
    )
    parser.add_argument(
        "--only", metavar="GROUPS", help=f"make these groups of checks alone, of {','.join(GROUPS)}"
    )
    parser.add_argument(
        "--metrics",
        metavar="URL[#NAME]",
        help="the server's metrics, to see that it notices leavers",
    )
    parser.add_argument("--origin", metavar="ORIGIN", help="examine CORS for pages of this origin")
    parser.add_argument(
        "--cacert", type=Path, metavar="FILE", help="certificate authorities to trust"
    )
    parser.add_argument("--http2", action="store_true", help="speak HTTP/2, if the server does")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the report as JSON")
    output.add_argument("--junit", action="store_true", help="print the report as JUnit's XML")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, too")


def run(options: argparse.Namespace) -> int:
    """Examine the stream as the arguments say, print the report, and return the exit code."""
    text = None if options.json or options.junit else TextOutput()
    try:
        report = _examine(options, text)
        if text is None:
            sys.stdout.write(as_json(report) if options.json else as_junit(report))
            sys.stdout.flush()
        else:
            text.end(report)
    except (OptionError, UrlError, CertificateFileError) as error:
        sys.stderr.write(f"sluice: {error}\n")
        return EXIT_NOT_EXAMINED
    except BrokenPipeError:
        # The reader of the output has left. Python would say so once more when it closes the stream.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the process ends
        return _EXIT_NO_OUTPUT
    return _write_page(options.html, report) if options.html else report.exit_code


def _write_page(path: Path, report: Report) -> int:
    try:
        path.write_text(as_html(report), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"sluice: --html {path}: {error.strerror}\n")
        return EXIT_NOT_EXAMINED
    return report.exit_code


def _examine(options: argparse.Namespace, text: TextOutput | None) -> Report:
    depth = Depth.QUICK if options.quick else Depth.THOROUGH if options.thorough else Depth.USUAL
    if text is not None:
        text.begin(options.url)
    return examine(
        options.url,
        post=_body(options.post),
        headers=_headers(options.header),
        direct=options.direct,
        preset=options.preset,
        model=options.model,
        depth=depth,
        read_seconds=options.seconds,
        metrics=options.metrics,
        cacert=options.cacert,
        http2=options.http2,
        origin=options.origin,
        groups=_groups(options.only),
        on_check=text.check if text else _ignore,
        on_step=text.step if text else _ignore,
        on_cost=text.note if text else _warn,
    )


def _ignore(_: object) -> None:
    pass


def _warn(sentence: str) -> None:
    """Say on standard error what may cost, where standard output is a document."""
    sys.stderr.write(f"sluice: {sentence}\n")


def _body(post: str | None) -> bytes | None:
    if post is None or not post.startswith("@"):
        return None if post is None else post.encode()
    try:
        return sys.stdin.buffer.read() if post == "@-" else Path(post[1:]).read_bytes()
    except OSError as error:
        raise OptionError(f"--post {post}: {error.strerror}") from error


def _headers(lines: list[str]) -> Mapping[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            # The line is not shown: it may be a key whose name was forgotten.
            raise OptionError("a header has no colon; give -H 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


def _groups(only: str | None) -> tuple[str, ...]:
    if only is None:
        return GROUPS
    return tuple(name.strip() for name in only.split(",") if name.strip())
