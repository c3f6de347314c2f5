"""Settings and keys in files: what a file may look like, and the one line that answers a mistake."""

import os
from pathlib import Path

import pytest

from flask_sluice.gateway.environment import (
    SettingsError,
    plain_settings_of_env_file,
    read_settings,
)
from flask_sluice.gateway.setting_files import warnings

KEY, OTHER = "key-0123456789ab", "other#0123456789"
KEY_FILES = ["API_KEYS", "SECRET_KEY"]


@pytest.fixture
def write(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "file"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return str(path)

    return write


def refusal(environment):
    with pytest.raises(SettingsError) as caught:
        read_settings(environment)
    line = str(caught.value)
    assert "\n" not in line
    assert KEY not in line
    return line


@pytest.mark.parametrize("name", KEY_FILES)
@pytest.mark.parametrize(
    "text",
    [
        f"{KEY}\n{OTHER}\n",
        f"{KEY},{OTHER}",
        f" {KEY} , {OTHER},\n\n",
        f"# two keys\n{KEY}  # of the app\n  # and\n{OTHER}",
        f"\ufeff{KEY}\r\n{OTHER}\r\n",
    ],
)
def test_keys_are_one_on_a_line_or_comma_separated_with_comments(name, text, write):
    settings = read_settings({f"SLUICE_{name}_FILE": write(text)})
    assert getattr(settings, name.lower()) == (KEY, OTHER)


def test_the_upstreams_key_is_the_one_line_of_its_file(write):
    settings = read_settings({"SLUICE_UPSTREAM_API_KEY_FILE": write("sk-#1,2\n")})
    assert settings.upstream_api_key == "sk-#1,2"


@pytest.mark.parametrize("name", KEY_FILES)
@pytest.mark.parametrize("text", ["", "\n \n", "# none yet\n", ",\n"])
def test_a_file_without_a_key_does_not_open_the_api(name, text, write):
    path = write(text)
    assert refusal({f"SLUICE_{name}_FILE": path}) == f"SLUICE_{name}_FILE: {path} has no key"


@pytest.mark.parametrize("name", KEY_FILES)
def test_text_that_is_not_a_key_is_refused_and_not_shown(name, write):
    path = write(f"{KEY}\nshort")
    line = refusal({f"SLUICE_{name}_FILE": path})
    assert line.startswith(f"SLUICE_{name}: got a value that is not shown in {path}, takes keys")
    assert "short" not in line


def test_a_second_line_in_the_file_of_one_key_is_refused(write):
    path = write(f"{KEY}\n{KEY}")
    line = refusal({"SLUICE_UPSTREAM_API_KEY_FILE": path})
    assert line == f"SLUICE_UPSTREAM_API_KEY_FILE: {path} has 2 lines with text, takes one"


@pytest.mark.parametrize("name", [*KEY_FILES, "UPSTREAM_API_KEY"])
def test_a_variable_and_its_file_cannot_both_be_set(name, write):
    line = refusal({f"SLUICE_{name}": KEY, f"SLUICE_{name}_FILE": write(KEY)})
    assert line == f"SLUICE_{name} and SLUICE_{name}_FILE are both set; only one can be"


@pytest.mark.parametrize(
    "variable", ["ENV_FILE", "API_KEYS_FILE", "UPSTREAM_API_KEY_FILE", "REDIS_PASSWORD_FILE"]
)
def test_what_cannot_be_read_is_named_with_the_reason(variable, tmp_path, write):
    variable = f"SLUICE_{variable}"

    def reason(path):
        line = refusal({"SLUICE_REDIS_URL": "redis://h", variable: str(path)})
        assert line.startswith(f"{variable}: {path} ")
        return line.removeprefix(f"{variable}: {path} ")

    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "none") == "cannot be read: No such file or directory"
    assert reason(tmp_path) == "cannot be read: Is a directory"
    assert reason(tmp_path / "pipe") == "is not a file"
    assert reason(write(b"\xff\xfe")) == "is not text in UTF-8"
    assert reason(write("x" * (1024 * 1024 + 1))) == "is larger than 1 MiB"


def test_the_password_of_redis_is_read_when_it_is_needed(write):
    path = write("p@/# w\n")
    environment = {"SLUICE_REDIS_URL": "redis://user@h", "SLUICE_REDIS_PASSWORD_FILE": path}
    credentials = read_settings(environment).redis_credentials
    assert credentials.get_credentials() == ("p@/# w",)
    Path(path).write_text("another")
    assert credentials.get_credentials() == ("another",)


@pytest.mark.parametrize(
    ("url", "takes"),
    [
        ("redis://:secret@a,b", "one server; for several write redis+cluster://"),
        (
            "redis+sentinel://:secret@h",
            "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE for sentinels",
        ),
        ("redis+cluster://:secret@h/1", "no database but 0 for a cluster"),
        (
            "rediss://:secret@h?ssl_certfile=/no/file",
            "a certificate and a key that fit for ssl_certfile",
        ),
        ("", "redis://HOST:PORT/DB"),
    ],
)
def test_what_is_wrong_with_a_redis_url_is_said_without_it(url, takes):
    line = refusal({"SLUICE_REDIS_URL": url})
    assert line.startswith("SLUICE_REDIS_URL: got a value that is not shown, takes redis://, ")
    assert f"; this one takes {takes}" in line
    assert "secret" not in line


def test_a_password_needs_a_url_that_has_none(write):
    environment = {"SLUICE_REDIS_PASSWORD_FILE": write("p")}
    both = "SLUICE_REDIS_PASSWORD_FILE is set, and SLUICE_REDIS_URL"
    assert refusal(environment) == f"{both} is not"
    environment["SLUICE_REDIS_URL"] = "redis://:q@h"
    assert refusal(environment) == f"{both} has a password; only one can"


# The env file.


def test_an_env_file_sets_what_the_environment_does_not(write):
    path = write(
        "# settings\n\nSLUICE_WORKERS=2\nexport SLUICE_MODELS='a, b'\n"
        'SLUICE_RATE_LIMIT = "60/minute"\nSLUICE_MAX_STREAMS=7\n'
    )
    settings = read_settings({"SLUICE_ENV_FILE": path, "SLUICE_MAX_STREAMS": "8"})
    assert (settings.workers, settings.models) == (2, ("a", "b"))
    assert (settings.rate_limit, settings.max_streams) == ("60/minute", 8)


def test_an_env_file_may_name_the_files_of_keys(write, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    path = write(f"SLUICE_API_KEYS_FILE={keys}")
    assert read_settings({"SLUICE_ENV_FILE": path}).api_keys == (KEY,)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SLUICE_WORKERS", "SLUICE_ENV_FILE: line 1 of PATH is not NAME=value"),
        ("\nPATH=/bin", "SLUICE_ENV_FILE: line 2 of PATH takes a setting of Sluice, not 'PATH'"),
        (
            "SLUICE_ENV_FILE=x",
            "SLUICE_ENV_FILE: line 1 of PATH takes a setting of Sluice, not 'SLUICE_ENV_FILE'",
        ),
        (
            "SLUICE_WORKERS=1\nSLUICE_WORKERS=2",
            "SLUICE_ENV_FILE: line 2 of PATH sets SLUICE_WORKERS, which a line above it has set",
        ),
        ("SLUICE_WORKER=1", "SLUICE_WORKER is not a setting; did you mean SLUICE_WORKERS?"),
        (
            "SLUICE_WORKERS=x",
            "SLUICE_WORKERS: got 'x' in PATH, takes a whole number, 1 to 999999999",
        ),
    ],
)
def test_a_mistake_in_an_env_file_is_named_with_its_line(text, line, write):
    path = write(text)
    assert refusal({"SLUICE_ENV_FILE": path}) == line.replace(
        "PATH", path, 1 if "'" in line else -1
    )


def test_the_servers_environment_gets_no_secret_of_the_env_file(write):
    path = write(f"SLUICE_API_KEYS={KEY}\nSLUICE_DRAIN_SECONDS=3\nSLUICE_WORKERS=2")
    environment = {"SLUICE_ENV_FILE": path, "SLUICE_WORKERS": "1"}
    assert plain_settings_of_env_file(environment) == {"SLUICE_DRAIN_SECONDS": "3"}


# Warnings.


def test_a_setting_that_the_environment_overrides_is_named(write):
    path = write("SLUICE_WORKERS=2\nSLUICE_MAX_STREAMS=7")
    environment = {"SLUICE_ENV_FILE": path, "SLUICE_WORKERS": "1", "SLUICE_MAX_STREAMS": "7"}
    assert warnings(environment) == [
        f"SLUICE_WORKERS of {path} is not used: the environment sets it, too"
    ]


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_file_that_every_user_can_read_is_named(mode, count, write):
    path = write(KEY, mode)
    expected = [f"every user of this host can read {path}: chmod o-r {path}"] * count
    assert warnings({"SLUICE_API_KEYS_FILE": path}) == expected
