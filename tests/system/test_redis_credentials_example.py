"""The example of credentials that change, as docs/configuration.md has it, with a real Redis in place of the cloud's."""

import sys
import types

import pytest

from tests.support.readme import CONFIGURATION, example
from tests.system.redis_server import RedisServer

CODE = example("python", "redis_credentials=tokens", CONFIGURATION)
TOKEN = "a token of the cloud"


@pytest.fixture
def redis():
    """It accepts the user of the example alone."""
    with RedisServer() as redis:
        redis.client.execute_command(
            "ACL", "SETUSER", "app", "on", f">{TOKEN}", "~*", "&*", "+@all"
        )
        redis.client.config_set("requirepass", "another")
        yield redis


@pytest.fixture
def asked(monkeypatch):
    """The application's module that the example imports. Returns how often it was asked for a token."""
    asked = []

    def new_token():
        asked.append(1)
        return TOKEN

    package, tokens = types.ModuleType("app"), types.ModuleType("app.tokens")
    package.__path__ = []
    tokens.new_token = new_token
    monkeypatch.setitem(sys.modules, "app", package)
    monkeypatch.setitem(sys.modules, "app.tokens", tokens)
    return asked


def test_its_app_streams_and_channels_log_in_with_one_token(redis, asked):
    url = f"unix://{redis.socket}"
    names = {"__name__": "app"}
    exec(CODE.replace("rediss+cluster://cache.example:6379", url), names)
    with names["app"].app_context():
        assert names["sluice"].channels.present("news") == []
    assert names["channels"].publish("news", 7)
    assert names["streams"].find(key="newest", owner="7") is None
    users = {each["user"] for each in redis.client.client_list() if each["name"] != ""}
    assert users == {"app"}
    assert len(asked) == 1
    for each in (names["sluice"].channels, names["channels"], names["streams"]):
        each.close()
