"""The environment: what is taken, and the one line that a mistake is answered with."""

import pytest

from wsgi.settings import Settings, SettingsError, read_settings
from wsgi.stream.options import StreamOptions

DEFAULTS = {
    "bind": "127.0.0.1:8080",
    "workers": 1,
    "models": (),
    "max_streams": 9000,
    "max_body_bytes": 10 * 1024 * 1024,
    "keepalive_seconds": 15,
    "keepalive_blank_line": True,
    "channel_size": 8,
    "write_timeout_seconds": 30,
    "commit_seconds": 10,
    "stream_timeout_seconds": 3600,
}

COUNTS = ["WORKERS", "MAX_STREAMS", "MAX_BODY_BYTES", "CHANNEL_SIZE"]
SECONDS = ["WRITE_TIMEOUT_SECONDS", "COMMIT_SECONDS", "STREAM_TIMEOUT_SECONDS"]
SECONDS_OR_NEVER = ["KEEPALIVE_SECONDS"]


def read(name, value):
    return getattr(read_settings({f"SLUICE_{name}": value}), name.lower())


def refusal(environment):
    with pytest.raises(SettingsError) as caught:
        read_settings(environment)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", DEFAULTS)
def test_default(name):
    assert getattr(read_settings({}), name) == DEFAULTS[name]


def test_the_defaults_of_a_stream_are_those_of_its_options():
    options = read_settings({}).stream_options
    assert options == StreamOptions(deadline_seconds=3600)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("BIND", "0.0.0.0:80", "0.0.0.0:80"),
        ("BIND", "[::1]:8080", "[::1]:8080"),
        ("BIND", "localhost:65535", "localhost:65535"),
        ("BIND", "unix:/run/sluice.sock", "unix:/run/sluice.sock"),
        ("MODELS", "a, b/c ,,d", ("a", "b/c", "d")),
        ("KEEPALIVE_BLANK_LINE", "0", False),
        ("KEEPALIVE_BLANK_LINE", "1", True),
        *[(name, "2", 2) for name in COUNTS],
        *[(name, "0.5", 0.5) for name in SECONDS + SECONDS_OR_NEVER],
        *[(name, "0", 0) for name in SECONDS_OR_NEVER],
    ],
)
def test_value_is_taken(name, text, value):
    assert read(name, text) == value


NOT_COUNTS = ["0", "-1", "1.5", "many", ""]
NOT_SECONDS = ["-1", "nan", "inf", "15s", ""]
NOT_ADDRESSES = ["8080", ":8080", "host:", "host:x", "host:0", "host:65536", "unix:", ""]
NOT_SWITCHES = ["2", "true", "yes", ""]


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        *[("BIND", value, "HOST:PORT or unix:PATH") for value in NOT_ADDRESSES],
        *[
            (name, value, "a whole number, 1 to 999999999")
            for name in COUNTS
            for value in NOT_COUNTS
        ],
        *[
            (name, value, "a number of seconds > 0")
            for name in SECONDS
            for value in [*NOT_SECONDS, "0"]
        ],
        *[
            (name, value, "a number of seconds, 0 for never")
            for name in SECONDS_OR_NEVER
            for value in NOT_SECONDS
        ],
        *[("KEEPALIVE_BLANK_LINE", value, "0 or 1") for value in NOT_SWITCHES],
    ],
)
def test_value_is_refused_in_one_line_that_says_what_is_taken(name, value, takes):
    line = refusal({f"SLUICE_{name}": value})
    assert line == f"SLUICE_{name}: got {value!r}, takes {takes}"


def test_a_value_of_several_lines_is_refused_in_one():
    assert "\\n" in refusal({"SLUICE_WORKERS": "1\n2"})


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("SLUICE_KEEPALIVE_SECOND", "SLUICE_KEEPALIVE_SECONDS"),
        ("SLUICE_KEEP_ALIVE_SECONDS", "SLUICE_KEEPALIVE_SECONDS"),
        ("SLUICE_BINDS", "SLUICE_BIND"),
        ("SLUICE_MODEL", "SLUICE_MODELS"),
        ("SLUICE_bind", "SLUICE_BIND"),
    ],
)
def test_an_unknown_name_is_refused_with_the_one_that_may_be_meant(variable, suggestion):
    expected = f"{variable} is not a setting; did you mean {suggestion}?"
    assert refusal({variable: "1"}) == expected


def test_an_unknown_name_like_no_other_is_refused_with_where_to_look():
    line = refusal({"SLUICE_ZZZZZZZZZZZZZZZZ": "1"})
    assert line == "SLUICE_ZZZZZZZZZZZZZZZZ is not a setting; the README lists the settings"


def test_other_variables_are_ignored():
    environment = {
        "PATH": "/bin",
        "BIND": "x",
        "XSLUICE_BIND": "x",
        "sluice_bind": "x",
        "SLUICE": "x",
    }
    assert read_settings(environment) == Settings()


def test_what_is_set_for_streams_reaches_their_options():
    environment = {
        "SLUICE_KEEPALIVE_SECONDS": "1",
        "SLUICE_KEEPALIVE_BLANK_LINE": "0",
        "SLUICE_CHANNEL_SIZE": "2",
        "SLUICE_WRITE_TIMEOUT_SECONDS": "3",
        "SLUICE_STREAM_TIMEOUT_SECONDS": "4",
    }
    assert read_settings(environment).stream_options == StreamOptions(
        keepalive_seconds=1,
        keepalive_blank_line=False,
        channel_size=2,
        write_timeout_seconds=3,
        deadline_seconds=4,
    )


@pytest.mark.parametrize("text", ["http://x:80", "h: 80", "::1:80", "[::1]", "a:1_0"])
def test_an_address_that_gunicorn_would_misread_is_refused(text):
    with pytest.raises(SettingsError, match="HOST:PORT or unix:PATH"):
        read_settings({"SLUICE_BIND": text})


@pytest.mark.parametrize("text", ["127.0.0.1:80", "localhost:8080", "[::1]:8080", "unix:/run/s"])
def test_an_address_in_each_form_is_taken(text):
    assert read_settings({"SLUICE_BIND": text}).bind == text


@pytest.mark.parametrize("name", ["TEMPERATURE", "PORT", "FOO"])
def test_a_name_like_no_other_gets_no_suggestion(name):
    with pytest.raises(SettingsError, match="the README lists the settings"):
        read_settings({f"SLUICE_{name}": "1"})
