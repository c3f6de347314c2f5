"""How an app says with what its extension logs in to Redis, and what is said of mistakes."""

import pytest
from flask import Flask

from flask_sluice import Sluice


class Static:
    def __init__(self):
        self.asked = 0

    def get_credentials(self):
        self.asked += 1
        return ("secret",)


def app_with(**config):
    app = Flask("app")
    app.config.update({f"SLUICE_{name.upper()}": value for name, value in config.items()})
    return app


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("secret\n")
    return file


def test_nothing_is_asked_before_it_is_used():
    credentials = Static()
    Sluice(app_with(redis_url="redis://h"), redis_credentials=credentials)
    assert credentials.asked == 0


def test_a_user_in_the_url_is_fine_beside_a_password_file(password_file):
    Sluice(app_with(redis_url="redis://user@h", redis_password_file=str(password_file)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        ("\n", "has 0 lines with text, takes one"),
        ("one\ntwo", "has 2 lines with text, takes one"),
    ],
)
def test_a_file_without_a_password_is_told_at_the_start(tmp_path, content, reason):
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match="SLUICE_REDIS_PASSWORD_FILE") as refused:
        Sluice(app_with(redis_url="redis://h", redis_password_file=str(file)))
    assert str(refused.value) == f"SLUICE_REDIS_PASSWORD_FILE: {file} {reason}"


@pytest.mark.parametrize(
    ("config", "credentials", "line"),
    [
        ({}, None, "SLUICE_REDIS_PASSWORD_FILE is set, and SLUICE_REDIS_URL is not"),
        (
            {"redis_url": "redis://h"},
            Static(),
            "SLUICE_REDIS_PASSWORD_FILE is set, and redis_credentials are given; only one can be",
        ),
        (
            {"redis_url": "redis://:secret@h"},
            None,
            "SLUICE_REDIS_PASSWORD_FILE is set, and SLUICE_REDIS_URL has a password; only one can",
        ),
        (
            {"redis_url": "redis+cluster://h/1"},
            None,
            "SLUICE_REDIS_URL: the Redis URL takes no database but 0 for a cluster, which has no other; leave it out",
        ),
    ],
)
def test_a_password_file_is_for_a_url_that_has_no_password(
    password_file, config, credentials, line
):
    app = app_with(**config, redis_password_file=str(password_file))
    with pytest.raises(ValueError, match="SLUICE_REDIS") as refused:
        Sluice(app, redis_credentials=credentials)
    assert str(refused.value) == line


def test_a_url_that_is_not_text_is_told_without_its_password():
    for wrong in (b"redis://:secret@h", ["redis://:secret@h"]):
        with pytest.raises(ValueError, match="SLUICE_REDIS_URL takes a URL") as refused:
            Sluice(app_with(redis_url=wrong))
        assert "secret" not in str(refused.value)


def test_credentials_are_for_a_redis():
    with pytest.raises(ValueError, match="credentials need the URL of a Redis"):
        Sluice(app_with(), redis_credentials=Static())


def test_what_cannot_be_credentials_is_told_at_the_start():
    for wrong in ("secret", ("user", "secret"), Static):
        with pytest.raises(TypeError, match=r"get_credentials\(\)") as refused:
            Sluice().init_app(app_with(redis_url="redis://h"), redis_credentials=wrong)
        assert "secret" not in str(refused.value)
