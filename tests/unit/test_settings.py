"""Settings in the environment: the values that are accepted, and the one line that answers a mistake."""

import math

import pytest

from flask_sluice.gateway.environment import SettingsError, describe_settings, read_settings
from flask_sluice.gateway.settings import Settings
from flask_sluice.stream.options import StreamOptions

DEFAULTS = {
    "bind": "127.0.0.1:8080",
    "workers": 1,
    "models": (),
    "max_event_bytes": 16 * 1024 * 1024,
    "upstream_health_path": "",
    "upstream_key_header": "auto",
    "pass_headers": (),
    "max_streams": 9000,
    "max_body_bytes": 10 * 1024 * 1024,
    "total_body_bytes": 256 * 1024 * 1024,
    "body_timeout_seconds": 60,
    "demo": False,
    "client_is": "user",
    "rate_limit": "",
    "cors_origins": (),
    "allowed_hosts": (),
    "secret_key": (),
    "env_file": "",
    "api_keys_file": "",
    "secret_key_file": "",
    "upstream_api_key_file": "",
    "redis_password_file": "",
    "trusted_proxies": (),
    "keepalive_seconds": 15,
    "keepalive_blank_line": False,
    "channel_size": 8,
    "write_timeout_seconds": 30,
    "commit_seconds": 10,
    "stream_timeout_seconds": 3600,
    "drain_delay_seconds": 0,
}

KEY, OTHER = "key-0123456789ab", "other-0123456789"

COUNTS = ["WORKERS", "MAX_STREAMS", "MAX_BODY_BYTES", "MAX_EVENT_BYTES", "CHANNEL_SIZE"]
SECONDS = [
    "BODY_TIMEOUT_SECONDS",
    "WRITE_TIMEOUT_SECONDS",
    "COMMIT_SECONDS",
    "STREAM_TIMEOUT_SECONDS",
]
SECONDS_OR_NEVER = ["KEEPALIVE_SECONDS"]
SECONDS_OR_NONE = ["DRAIN_DELAY_SECONDS"]


def read(name, value):
    return getattr(read_settings({f"SLUICE_{name}": value}), name.lower())


def refusal(environment):
    with pytest.raises(SettingsError) as caught:
        read_settings(environment)
    line = str(caught.value)
    assert "\n" not in line
    return line


KEY_HEADERS = "authorization, api-key, x-api-key, x-goog-api-key, or auto"
PASSED_HEADERS = (
    "header names, comma-separated, with a * at the end for all that begin so; "
    "not Host, Content-Length, Connection or others that are for one hop only"
)
NOT_PASSED_HEADERS = [
    *("", "*", "a b", "x:y", "x-*-y", "**", "a\nb", "schlüssel", "Host", "content-length", "TE"),
    *("X-Title,Transfer-Encoding", "Connection", "Upgrade", "Proxy-Authorization", "Trailer"),
]

RATE_LIMITS = ["60/minute", "60 per minute", "5/second;1000/day", "5/second, 60/2 minutes"]


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
        ("API_KEYS", f"{KEY}, {OTHER}", (KEY, OTHER)),
        ("SECRET_KEY", f"{KEY},{OTHER}", (KEY, OTHER)),
        (
            "ALLOWED_HOSTS",
            "A.test., 10.0.0.1,[::1],::2,h_1",
            ("a.test", "10.0.0.1", "::1", "::2", "h_1"),
        ),
        ("ALLOWED_HOSTS", "*", ("*",)),
        ("UPSTREAM_KEY_HEADER", "X-Api-Key", "x-api-key"),
        ("PASS_HEADERS", "X-Title, helicone-* ,b3", ("x-title", "helicone-*", "b3")),
        *[("RATE_LIMIT", text, text) for text in RATE_LIMITS],
        ("CORS_ORIGINS", "*", ("*",)),
        ("CORS_ORIGINS", "HTTPS://A.test, http://[::1]:1", ("https://a.test", "http://[::1]:1")),
        ("CORS_ORIGINS", "capacitor://localhost", ("capacitor://localhost",)),
        ("TRUSTED_PROXIES", "unix,10.0.0.0/8, ::1", ("unix", "10.0.0.0/8", "::1")),
        ("UPSTREAM_HEALTH_PATH", "/health?full=1", "/health?full=1"),
        ("UPSTREAM_HEALTH_PATH", "", ""),
        ("KEEPALIVE_BLANK_LINE", "0", False),
        ("KEEPALIVE_BLANK_LINE", "1", True),
        *[(name, "2", 2) for name in COUNTS],
        *[(name, "0.5", 0.5) for name in SECONDS + SECONDS_OR_NEVER + SECONDS_OR_NONE],
        *[(name, "0", 0) for name in SECONDS_OR_NEVER + SECONDS_OR_NONE],
    ],
)
def test_value_is_taken(name, text, value):
    assert read(name, text) == value


NOT_COUNTS = ["0", "-1", "1.5", "many", ""]
NOT_SECONDS = ["-1", "nan", "inf", "15s", ""]
NOT_ADDRESSES = ["8080", ":8080", "host:", "host:x", "host:0", "host:65536", "unix:", ""]
NOT_RATE_LIMITS = ["60", "0/minute", "60/0 minutes", "1/s", "x/minute", "60/minute;", ""]
NOT_ORIGINS = [
    *("a.test", "https://", "https://a.test/", "https://a.test/x", "https://u@a.test", "null"),
    *("https://*.a.test", "https://a.test:443", "http://a.test:80", "https://a.test:0", "*,*"),
    *("https://a.test:", "https://a.test:99999", "https://ä.test", "https://a.test https://b.test"),
    "",
]
NOT_PROXIES = ["nginx", "10.0.0.1/8", "10.0.0", "127.0.0.1:80", "unix:/run/s", "*", ""]
NOT_HOSTS = [
    "a.test:80",
    "http://a.test",
    "*.a.test",
    "*,a.test",
    "a b",
    "[::1]:80",
    "a..b",
    "ä",
    "",
]
NOT_SWITCHES = ["2", "true", "yes", ""]


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        *[("BIND", value, "HOST:PORT or unix:PATH") for value in NOT_ADDRESSES],
        *[
            ("UPSTREAM_KEY_HEADER", value, KEY_HEADERS)
            for value in ["", "cookie", "authorization,"]
        ],
        *[("PASS_HEADERS", value, PASSED_HEADERS) for value in NOT_PASSED_HEADERS],
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
        *[
            ("RATE_LIMIT", value, "limits such as 60/minute or 5/second;1000/day")
            for value in NOT_RATE_LIMITS
        ],
        *[
            (
                "CORS_ORIGINS",
                value,
                "origins such as https://example.com, comma-separated, or * alone",
            )
            for value in NOT_ORIGINS
        ],
        *[
            (
                "TRUSTED_PROXIES",
                value,
                "addresses, networks such as 10.0.0.0/8, and unix, comma-separated",
            )
            for value in NOT_PROXIES
        ],
        *[
            (
                "ALLOWED_HOSTS",
                value,
                "host names and IP addresses without ports, comma-separated, or * alone",
            )
            for value in NOT_HOSTS
        ],
        *[
            ("UPSTREAM_HEALTH_PATH", value, "a path at the upstream's host, such as /health")
            for value in ["health", "http://a/health", "/a b", "/a#b", "/ä", "/a\r\nX: y"]
        ],
        *[("KEEPALIVE_BLANK_LINE", value, "0 or 1") for value in NOT_SWITCHES],
    ],
)
def test_value_is_refused_in_one_line_that_says_what_is_taken(name, value, takes):
    line = refusal({f"SLUICE_{name}": value})
    assert line == f"SLUICE_{name}: got {value!r}, takes {takes}"


@pytest.mark.parametrize("name", ["API_KEYS", "SECRET_KEY"])
@pytest.mark.parametrize(
    "text",
    ["", f"{KEY},,{KEY}", f"a {KEY}", f"{KEY},", f"schlüssel{KEY}", KEY[:15], f"{KEY},short"],
)
def test_text_that_is_not_keys_is_refused_and_not_shown(name, text):
    line = refusal({f"SLUICE_{name}": text})
    assert line == (
        f"SLUICE_{name}: got a value that is not shown, "
        "takes keys of at least 16 characters without spaces, comma-separated"
    )


def test_a_rate_limit_needs_something_to_count_by():
    behind_socket = {"SLUICE_BIND": "unix:/run/s", "SLUICE_RATE_LIMIT": "1/day"}
    line = refusal({**behind_socket, "SLUICE_TRUSTED_PROXIES": "127.0.0.1"})
    assert line.startswith("SLUICE_RATE_LIMIT: behind a unix socket clients have no address")
    assert "SLUICE_TRUSTED_PROXIES=unix" in line
    assert read_settings({**behind_socket, "SLUICE_TRUSTED_PROXIES": "unix"}).rate_limit
    assert read_settings({**behind_socket, "SLUICE_API_KEYS": KEY}).rate_limit


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
    assert line == "SLUICE_ZZZZZZZZZZZZZZZZ is not a setting; docs/configuration.md lists them"


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
        "SLUICE_KEEPALIVE_BLANK_LINE": "1",
        "SLUICE_CHANNEL_SIZE": "2",
        "SLUICE_WRITE_TIMEOUT_SECONDS": "3",
        "SLUICE_STREAM_TIMEOUT_SECONDS": "4",
    }
    assert read_settings(environment).stream_options == StreamOptions(
        keepalive_seconds=1,
        keepalive_blank_line=True,
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


@pytest.mark.parametrize(("text", "speed"), [("1", 1), ("0.5", 0.5), ("max", math.inf)])
def test_the_speed_of_recordings_is_a_factor_or_max(text, speed):
    assert read_settings({"SLUICE_REPLAY_SPEED": text}).replay_speed == speed


@pytest.mark.parametrize("text", ["0", "-1", "inf", "fast"])
def test_another_speed_is_refused(text):
    with pytest.raises(SettingsError, match="SLUICE_REPLAY_SPEED"):
        read_settings({"SLUICE_REPLAY_SPEED": text})


@pytest.mark.parametrize(("name", "value"), [("UPSTREAM", "http://a/v1"), ("SCENARIO", "a.toml")])
def test_recordings_and_something_else_do_not_answer_together(tmp_path, name, value):
    settings = {"SLUICE_REPLAY": str(tmp_path), f"SLUICE_{name}": value}
    with pytest.raises(SettingsError, match=f"SLUICE_REPLAY and SLUICE_{name} are both set"):
        read_settings(settings)


@pytest.mark.parametrize("name", ["TEMPERATURE", "PORT", "FOO"])
def test_a_name_like_no_other_gets_no_suggestion(name):
    with pytest.raises(SettingsError, match=r"docs/configuration\.md lists them"):
        read_settings({f"SLUICE_{name}": "1"})


@pytest.mark.parametrize("setting", describe_settings(), ids=lambda setting: setting.variable)
def test_a_setting_is_described_by_its_default_and_one_sentence(setting):
    if setting.default:
        assert read_settings({setting.variable: setting.default}) == Settings()
    assert setting.takes
    assert setting.meaning[0].isupper()
    assert setting.meaning.endswith(".")
    assert ". " not in setting.meaning


def test_the_descriptions_are_those_of_all_settings():
    described = [setting.variable for setting in describe_settings()]
    assert described == [f"SLUICE_{name.upper()}" for name in Settings.__dataclass_fields__]
