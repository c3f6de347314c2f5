"""The command ``sluice``, without starting a server."""

import os
import subprocess
import sys

import pytest

from flask_sluice import __version__, cli

EXTRAS = ("gevent", "gunicorn", "redis", "urllib3", "prometheus_client", "limits", "flask_cors")


class Replaced(Exception):
    """The process would have become another program."""


@pytest.fixture
def started(monkeypatch) -> list:
    """The arguments and the SLUICE_ variables of each program that would have replaced this process."""
    programs = []

    def execve(path, arguments, environment):
        settings = {name: text for name, text in environment.items() if name.startswith("SLUICE_")}
        programs.append((arguments, settings))
        raise Replaced

    monkeypatch.setattr(os, "execve", execve)
    for name in [name for name in os.environ if name.startswith("SLUICE_")]:
        monkeypatch.delenv(name)
    return programs


def settings_of(started, *arguments) -> dict[str, str]:
    with pytest.raises(Replaced):
        cli.main(arguments)
    (_, settings) = started.pop()
    return settings


def test_serve_becomes_gunicorn_with_the_gateways_settings(started):
    with pytest.raises(Replaced):
        cli.main(["serve"])
    ((arguments, settings),) = started
    assert arguments == [
        *(sys.executable, "-m", "gunicorn", "-c", "python:flask_sluice.gateway.gunicorn_settings"),
        "flask_sluice.gateway.app:create_app()",
    ]
    assert settings == {}


def test_the_options_of_serve_are_settings(started):
    options = ("--upstream", "http://a/v1", "--upstream", "http://b/v1", "--bind", "unix:/s")
    assert settings_of(started, "serve", *options, "--workers", "2") == {
        "SLUICE_UPSTREAM": "http://a/v1,http://b/v1",
        "SLUICE_BIND": "unix:/s",
        "SLUICE_WORKERS": "2",
    }


def test_an_option_wins_over_the_environment_and_other_settings_stay(started, monkeypatch):
    monkeypatch.setenv("SLUICE_BIND", "127.0.0.1:1")
    monkeypatch.setenv("SLUICE_UPSTREAM", "http://a/v1")
    assert settings_of(started, "serve", "--bind", "127.0.0.1:2") == {
        "SLUICE_UPSTREAM": "http://a/v1",
        "SLUICE_BIND": "127.0.0.1:2",
    }


def test_simulate_ignores_the_upstream(started, monkeypatch):
    monkeypatch.setenv("SLUICE_UPSTREAM", "http://a/v1")
    assert settings_of(started, "simulate", "--bind", "127.0.0.1:2") == {
        "SLUICE_BIND": "127.0.0.1:2"
    }


def test_simulate_plays_recordings_and_records_nothing(started, monkeypatch):
    monkeypatch.setenv("SLUICE_RECORD", "recordings")
    options = ("--replay", "recordings", "--replay-speed", "max")
    assert settings_of(started, "simulate", *options) == {
        "SLUICE_REPLAY": "recordings",
        "SLUICE_REPLAY_SPEED": "max",
    }


def test_serve_records(started):
    arguments = ("serve", "--upstream", "http://a/v1", "--record", "recordings")
    assert settings_of(started, *arguments)["SLUICE_RECORD"] == "recordings"


@pytest.mark.parametrize("command", ["serve", "simulate", "ask"])
def test_help_explains_each_option(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: sluice {command} ")
    # Terminals are 80 columns wide.
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_command_the_help_is_an_error(capsys):
    assert cli.main([]) == 2
    printed = capsys.readouterr().err
    assert all(command in printed for command in ("serve", "simulate", "ask"))


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"sluice {__version__}\n")


@pytest.mark.parametrize("arguments", [["serve", "--foo"], ["ask"], ["frob"]])
def test_a_wrong_argument_is_one_line_that_names_the_help(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sluice: ")
    assert line.endswith("--help")


@pytest.mark.parametrize(
    ("arguments", "hidden", "extra"),
    [
        (["serve"], "gunicorn", "gateway"),
        (["simulate"], "limits", "gateway"),
        (["ask", "?"], "urllib3", "client"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_pip_command(
    monkeypatch, capsys, arguments, hidden, extra
):
    find_spec = cli.importlib.util.find_spec
    monkeypatch.setattr(
        cli.importlib.util, "find_spec", lambda name: None if name == hidden else find_spec(name)
    )
    assert cli.main(arguments) == 2
    line = f"sluice: {arguments[0]} needs {hidden}: pip install 'flask-sluice[{extra}]'\n"
    assert capsys.readouterr().err == line


def test_importing_the_command_imports_no_extra():
    program = f"import sys, flask_sluice.cli; print(sorted(set({EXTRAS}) & sys.modules.keys()))"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout == "[]\n"
