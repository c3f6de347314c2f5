"""The command ``sluice``: run the gateway or its simulator, ask a server a question, or examine a stream.

Importing this module imports none of the extras. Each subcommand imports what it needs, and says which
``pip install`` is missing.
"""

import argparse
import importlib.util
import math
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from flask_sluice import __version__
from flask_sluice.doctor import command as doctor_command

_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130
_DEFAULT_URL = "http://127.0.0.1:8080"
_SERVER_SETTINGS = "python:flask_sluice.gateway.gunicorn_settings"
_APP = "flask_sluice.gateway.app:create_app()"
# The modules that each extra installs.
_MODULES = {
    "client": ("urllib3", "h11", "h2"),
    "gateway": (
        *("gevent", "gunicorn", "urllib3", "redis", "prometheus_client"),
        *("itsdangerous", "limits", "flask_cors"),
    ),
}

_SERVE = """\
Run the gateway: an OpenAI-compatible server that streams the answers of the
upstreams to its clients. Without an upstream a simulator answers, so that you
can try everything without a model.

The options set SLUICE_UPSTREAM, SLUICE_BIND and SLUICE_WORKERS. The other
settings (API keys, rate limits, Redis, time limits) are environment variables
too: see docs/configuration.md. GUNICORN_CMD_ARGS holds options of gunicorn.
"""
_SERVE_EXAMPLES = """\
examples:
  sluice serve
  sluice serve --upstream http://127.0.0.1:8000/v1
  SLUICE_API_KEYS=a-long-random-key sluice serve --bind 0.0.0.0:8080 --workers 2
"""
_SIMULATE = """\
Run the simulator: it answers in the APIs of OpenAI, Anthropic, Ollama and
Gemini, at the pace of a model, and fails as models and networks do where the
request or a scenario asks for it. It ignores SLUICE_UPSTREAM; the other
settings are those of the gateway.
"""
_SIMULATE_EXAMPLES = """\
examples:
  sluice simulate
  sluice simulate --scenario scenario.toml
  sluice simulate --examine 'python my_client.py' --timeout 20

With --examine the command is run about fifteen times, with the simulator's
address in OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OLLAMA_HOST and
GOOGLE_GEMINI_BASE_URL. Its exit code says whether it took the answer for whole.
Exit codes: 0 the client can be trusted, 1 it cannot, 2 it cannot be examined.
"""
_ASK = """\
Ask an OpenAI-compatible server a question and print the answer as it comes.
The answer goes to standard output. The time to the first token and the token
rate, or what went wrong, go to standard error, in one line each. On a terminal
control characters in the answer are shown as symbols.
"""
_ASK_EXIT_CODES = """\
exit codes:
  0    the answer is complete
  2    the arguments are wrong
  3    no connection
  4    the server refused the request
  5    the response is not an answer (HTML, for example)
  6    the answer is incomplete
  130  interrupted by Ctrl-C
  141  standard output was closed, or cannot be written
"""


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line instead of the usage and a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_EXIT_USAGE, f"sluice: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    arguments: None: those of the process
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return _EXIT_USAGE
    if options.command == "ask":
        return _ask(options)
    if options.command == "doctor":
        return _doctor(options)
    if problem := _obstacle_to_serving(options.command):
        return _fail(problem)
    if options.command == "simulate" and options.examine is not None:
        return _examine(options)
    return _serve(options)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sluice", description="Server-sent events from ordinary WSGI.")
    parser.add_argument("--version", action="version", version=f"sluice {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    serve = _add(commands, "serve", "run the gateway", _SERVE, _SERVE_EXAMPLES)
    serve.add_argument(
        "--upstream",
        action="append",
        metavar="URL",
        help="the base URL of an OpenAI-compatible server, with its /v1; repeat it for several",
    )
    _add_bind(serve)
    serve.add_argument(
        "--workers", metavar="N", help="worker processes (default: SLUICE_WORKERS, or 1)"
    )

    serve.add_argument(
        "--record",
        metavar="DIR",
        help="write each exchange with an upstream to a file in this folder",
    )

    simulate = _add(
        commands, "simulate", "run the simulator of a model server", _SIMULATE, _SIMULATE_EXAMPLES
    )
    _add_bind(simulate)
    simulate.add_argument(
        "--scenario",
        metavar="FILE",
        help="a TOML file that says how to answer which request (default: SLUICE_SCENARIO)",
    )
    simulate.add_argument(
        "--examine",
        metavar="COMMAND",
        help="run a client's command against each fault, and tell which it took for success",
    )
    simulate.add_argument(
        "--timeout",
        type=_positive_seconds,
        default=60.0,
        metavar="SECONDS",
        help="with --examine: how long one run of the command may take (default: 60)",
    )
    simulate.add_argument("--json", action="store_true", help="with --examine: print JSON")
    simulate.add_argument(
        "--replay", metavar="DIR", help="answer from the recordings in this folder"
    )
    simulate.add_argument(
        "--replay-speed",
        metavar="N",
        help="how many times as fast as recorded, or max for no pauses (default: 1)",
    )

    ask = _add(commands, "ask", "ask a question and print the answer", _ASK, _ASK_EXIT_CODES)
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument(
        "--url",
        default=_DEFAULT_URL,
        help="the server, with or without its /v1 (default: %(default)s)",
    )
    ask.add_argument(
        "--model", default="any", metavar="M", help="the model's name (default: %(default)s)"
    )

    about = (doctor_command.DESCRIPTION, doctor_command.EXAMPLES)
    doctor_command.add_arguments(
        _add(commands, "doctor", "tell what is wrong with a stream", *about)
    )
    return parser


def _add(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_bind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bind",
        metavar="ADDRESS",
        help="HOST:PORT or unix:PATH to listen at (default: SLUICE_BIND, or 127.0.0.1:8080)",
    )


def _obstacle_to_serving(command: str) -> str | None:
    if sys.platform == "win32":
        return "gunicorn does not run on Windows; use WSL or a container"
    if missing := _missing("gateway"):
        return f"{command} needs {missing}: pip install 'flask-sluice[gateway]'"
    return None


def _positive_seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


def _examine(options: argparse.Namespace) -> int:
    if options.scenario or options.replay:
        return _fail("--examine sets the answers itself; leave --scenario and --replay out")
    from flask_sluice.testing.examining.command import examine  # noqa: PLC0415 - rarely needed

    try:
        return examine(options.examine, timeout_seconds=options.timeout, as_json=options.json)
    except KeyboardInterrupt:
        sys.stderr.write("\nsluice: interrupted\n")
        return _EXIT_INTERRUPTED


def _serve(options: argparse.Namespace) -> NoReturn:
    """Replace this process by gunicorn with the gateway."""
    environment = dict(os.environ)
    if options.command == "simulate":
        environment.pop("SLUICE_UPSTREAM", None)
        _set(environment, "SLUICE_SCENARIO", options.scenario)
        environment.pop("SLUICE_RECORD", None)
        _set(environment, "SLUICE_REPLAY", options.replay)
        _set(environment, "SLUICE_REPLAY_SPEED", options.replay_speed)
    else:
        _set(environment, "SLUICE_UPSTREAM", ",".join(options.upstream or ()))
        _set(environment, "SLUICE_WORKERS", options.workers)
        _set(environment, "SLUICE_RECORD", options.record)
    _set(environment, "SLUICE_BIND", options.bind)
    command = [sys.executable, "-m", "gunicorn", "-c", _SERVER_SETTINGS, _APP]
    os.execve(sys.executable, command, environment)  # noqa: S606 - starts our own interpreter, not a shell


def _ask(options: argparse.Namespace) -> int:
    if missing := _missing("client"):
        return _fail(f"ask needs {missing}: pip install 'flask-sluice[client]'")
    try:
        from flask_sluice.client.ask import ask  # noqa: PLC0415 - it imports an extra

        return ask(options.question, url=options.url, model=options.model)
    except KeyboardInterrupt:
        # The imports take longer than anything else before the request, whose interruption is told there.
        return _EXIT_INTERRUPTED


def _doctor(options: argparse.Namespace) -> int:
    if missing := _missing("client"):
        return _fail(f"doctor needs {missing}: pip install 'flask-sluice[client]'")
    try:
        return doctor_command.run(options)
    except KeyboardInterrupt:
        sys.stderr.write("\nsluice: interrupted\n")
        return _EXIT_INTERRUPTED


def _set(environment: dict[str, str], name: str, value: str | None) -> None:
    if value:
        environment[name] = value


def _missing(extra: str) -> str:
    """The modules of the extra that are not installed, as text."""
    return ", ".join(name for name in _MODULES[extra] if importlib.util.find_spec(name) is None)


def _fail(message: str) -> int:
    sys.stderr.write(f"sluice: {message}\n")
    return _EXIT_USAGE
