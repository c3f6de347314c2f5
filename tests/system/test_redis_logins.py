"""Logins to Redis that change while a process runs: tokens that expire, passwords that are exchanged. And client certificates."""

import contextlib
import logging
import os
import ssl
import threading

import pytest
from flask import Flask
from redis import credentials

from benchmarks.ports import free_port
from flask_sluice import Channels, Event, Sluice, Streams
from flask_sluice.journal import JournalUnavailableError
from flask_sluice.journal.redis.servers.access import login
from flask_sluice.journal.redis.servers.client import RedisClient
from flask_sluice.journal.redis.servers.credentials import PasswordFile
from flask_sluice.sse import EventParser
from tests.support.certificate import make_certificates
from tests.support.server import wait_until
from tests.system.redis_server import RedisServer
from tests.unit.kept_streams import read

ALL = ("on", "~*", "&*", "+@all")


class Tokens:
    """Gives tokens that the server has accepted as passwords of one user since they were made. Old ones it does not accept."""

    def __init__(self, redis, user="service"):
        self._redis = redis
        self._user = user
        self._number = 0
        self.asked = 0
        self.renew()

    def renew(self):
        """Have the server accept another token, and not the one before it any more."""
        self._number += 1
        self._redis.client.execute_command(
            "ACL", "SETUSER", self._user, "resetpass", f">token-{self._number}", *ALL
        )

    def get_credentials(self):
        self.asked += 1
        return (self._user, f"token-{self._number}")


class Users:
    """Gives the user that a test names. In CLIENT LIST it can be seen who each connection is."""

    def __init__(self, redis):
        self.user = "first"
        for user in ("first", "second"):
            redis.client.execute_command("ACL", "SETUSER", user, ">word", *ALL)

    def get_credentials(self):
        return (self.user, "word")


class Scripted:
    """Does what a test says when it is asked: returns a value, or raises an exception, or calls a function."""

    def __init__(self, answer):
        self.answer = answer

    def get_credentials(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer


@pytest.fixture
def at_once(monkeypatch):
    """What takes minutes otherwise, so that a test sees it."""
    monkeypatch.setattr(login, "_RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr(login, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(login, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(login, "_SUBSCRIPTION_SECONDS", 0.05)


@pytest.fixture
def new_client(redis):
    redis.client.config_resetstat()
    with contextlib.ExitStack() as stack:

        def new(credentials, url=redis.url):
            client = RedisClient(url, "sluice-test", credentials=credentials)
            stack.callback(client.close)
            return client

        yield new


def connections(redis):
    """Return the user of each connection with our name, by its id."""
    clients = [each for each in redis.client.client_list() if each["name"] == "sluice-test"]
    return {each["id"]: each["user"] for each in clients}


def connections_of_channels(redis):
    clients = redis.client.client_list()
    return {
        each["id"]: each["user"] for each in clients if each["name"].startswith("sluice-channels-")
    }


def auths(redis):
    """Return how often AUTH was accepted, and how often it was refused."""
    seen = redis.client.info("commandstats").get("cmdstat_auth", {"calls": 0, "failed_calls": 0})
    return seen["calls"] - seen["failed_calls"], seen["failed_calls"]


def kill_connections(redis):
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


class TestALiveConnection:
    def test_logs_in_again_when_the_credentials_have_changed(self, redis, new_client, at_once):
        users = Users(redis)
        kept = new_client(users).keep_connection(may_repeat=False)
        kept.execute(("ECHO", "x"))
        before = connections(redis)
        assert list(before.values()) == ["first"]
        users.user = "second"

        def is_second():
            assert kept.execute(("ECHO", "x")) == [b"x"]
            return list(connections(redis).values()) == ["second"]

        wait_until(is_second)
        assert list(connections(redis)) == list(before)

    def test_keeps_a_login_that_has_not_changed(self, redis, new_client, at_once):
        tokens = Tokens(redis)
        kept = new_client(tokens).keep_connection()
        wait_until(lambda: kept.execute(("ECHO", "x")) and tokens.asked >= 4)
        assert auths(redis) == (1, 0)

    def test_is_asked_about_once_a_minute(self, redis, new_client):
        tokens = Tokens(redis)
        kept = new_client(tokens).keep_connection()
        for _ in range(100):
            kept.execute(("ECHO", "x"))
        assert (tokens.asked, login._RENEWAL_SECONDS) == (1, 60)

    def test_that_is_refused_is_told_and_made_anew(self, redis, new_client, at_once, caplog):
        scripted = Scripted(Tokens(redis).get_credentials())
        good = scripted.answer
        kept = new_client(scripted).keep_connection(may_repeat=False)
        kept.execute(("ECHO", "x"))
        before = connections(redis)
        scripted.answer = ("service", "expired")

        def is_refused():
            try:
                kept.execute(("ECHO", "x"))
            except JournalUnavailableError as error:
                return error.reason
            return ""

        reason = wait_until(is_refused)
        assert "invalid username-password pair" in reason
        assert "expired" not in reason
        scripted.answer = good
        assert kept.execute(("ECHO", "x")) == [b"x"]
        assert set(connections(redis)).isdisjoint(before)

    def test_that_may_repeat_is_made_anew_without_a_word(self, redis, new_client, at_once):
        answers = [("service", "expired")]
        tokens = Tokens(redis)
        scripted = Scripted(lambda: answers.pop() if len(answers) > 1 else tokens.get_credentials())
        client = new_client(scripted)
        client.execute(("ECHO", "x"))
        # The look gets one that has expired, and connecting the right one. On a busy machine that one may expire, too.
        answers.append(("service", "expired"))
        wait_until(lambda: client.execute(("ECHO", "x")) == [b"x"] and auths(redis)[1] >= 1)
        assert client.execute(("ECHO", "x")) == [b"x"]
        assert client.health.problem is None

    @pytest.mark.parametrize("failure", [RuntimeError("secret"), None, ("",), lambda: 1 / 0])
    def test_lives_on_while_there_are_no_credentials(
        self, redis, new_client, at_once, caplog, failure
    ):
        users = Users(redis)
        scripted = Scripted(users.get_credentials)
        kept = new_client(scripted).keep_connection(may_repeat=False)
        kept.execute(("ECHO", "x"))
        scripted.answer = failure
        with caplog.at_level(logging.INFO, "sluice.journal"):
            wait_until(lambda: kept.execute(("ECHO", "x")) and "no credentials" in caplog.text)
            users.user = "second"
            scripted.answer = users.get_credentials
            wait_until(
                lambda: kept.execute(("ECHO", "x")) and "second" in connections(redis).values()
            )
        told = [each for each in caplog.records if "credentials for Redis" in each.message]
        assert [each.levelname for each in told] == ["WARNING", "INFO"]

    def test_waits_for_no_credentials_that_are_late(self, redis, new_client, at_once):
        is_asked, may_answer = threading.Event(), threading.Event()
        users = Users(redis)
        scripted = Scripted(users.get_credentials)
        kept = new_client(scripted).keep_connection(may_repeat=False)
        kept.execute(("ECHO", "x"))

        def late():
            is_asked.set()
            assert may_answer.wait(20)
            return ("second", "word")

        scripted.answer = late
        wait_until(lambda: kept.execute(("ECHO", "x")) and is_asked.is_set())
        assert [kept.execute(("ECHO", "x")) for _ in range(20)] == [[b"x"]] * 20
        may_answer.set()
        wait_until(lambda: kept.execute(("ECHO", "x")) and "second" in connections(redis).values())

    def test_of_a_subscription_is_old_when_the_credentials_have_changed(
        self, redis, new_client, at_once
    ):
        users = Users(redis)
        client = new_client(users)
        connection = client.new_connection(5)
        connection.connect()
        wait_until(lambda: connection.credential_provider._logins.latest() is not None)
        assert not login.has_old_login(connection)
        users.user = "second"
        wait_until(lambda: login.has_old_login(connection))
        connection.disconnect()
        connection.connect()
        assert not login.has_old_login(connection)
        connection.disconnect()

    def test_without_credentials_has_no_login_that_could_be_old(self, new_client):
        connection = new_client(None).new_connection(5)
        assert login.login_of(connection) is None
        assert not login.has_old_login(connection)


class TestANewConnection:
    def test_has_the_credentials_of_that_moment(self, redis, new_client):
        tokens = Tokens(redis)
        client = new_client(tokens)
        for _ in range(3):
            assert client.execute(("ECHO", "x")) == [b"x"]
            tokens.renew()
            kill_connections(redis)
        assert auths(redis) == (3, 0)

    def test_of_a_user_in_the_url_has_the_password_of_the_credentials(self, redis, new_client):
        users = Users(redis)
        client = new_client(Scripted(("word",)), redis.url.replace("unix://", "unix://second@"))
        client.execute(("ECHO", "x"))
        assert list(connections(redis).values()) == ["second"]
        assert users.user == "first"

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (KeyError("secret"), "get_credentials() raised KeyError"),
            (lambda: 1 / 0, "get_credentials() raised ZeroDivisionError"),
            (None, "get_credentials() returns (password,) or (user, password); got NoneType"),
            ("secret", "get_credentials() returns (password,) or (user, password); got str"),
            ((), "get_credentials() returns (password,) or (user, password); got tuple of 0"),
            (
                ("a", "secret", "b"),
                "get_credentials() returns (password,) or (user, password); got tuple of 3",
            ),
            (
                (None, "secret"),
                "get_credentials() returns (password,) or (user, password); got tuple of 2",
            ),
            ((7,), "get_credentials() returns (password,) or (user, password); got tuple of 1"),
            (("user", ""), "get_credentials() returned an empty password"),
        ],
    )
    def test_is_not_made_without_credentials_and_the_reason_is_told(
        self, new_client, answer, reason
    ):
        client = new_client(Scripted(answer))
        with pytest.raises(JournalUnavailableError) as refused:
            client.execute(("ECHO", "x"))
        assert (
            refused.value.reason == f"Redis cannot be reached: there are no credentials: {reason}"
        )
        assert "secret" not in refused.value.reason

    def test_is_made_when_there_are_credentials_again(self, redis, new_client):
        scripted = Scripted(RuntimeError())
        client = new_client(scripted)
        with pytest.raises(JournalUnavailableError):
            client.execute(("ECHO", "x"))
        scripted.answer = Tokens(redis).get_credentials()
        assert client.execute(("ECHO", "x")) == [b"x"]

    def test_waits_a_while_for_credentials_and_asks_one_at_a_time(
        self, redis, new_client, monkeypatch
    ):
        monkeypatch.setattr(login, "_ANSWER_SECONDS", 0.2)
        asked, may_answer = [], threading.Event()
        good = Tokens(redis).get_credentials()

        def hangs():
            asked.append(1)
            assert may_answer.wait(20)
            return good

        client = new_client(Scripted(hangs))
        for _ in range(3):
            with pytest.raises(JournalUnavailableError) as refused:
                client.execute(("ECHO", "x"))
            assert refused.value.reason.endswith("get_credentials() has not returned for 0.2 s")
        assert len(asked) == 1
        may_answer.set()
        wait_until(lambda: client.check(lambda _tag: [("ECHO", "x")]) is None)

    def test_shares_an_answer_with_those_that_wait_with_it(self, redis, new_client):
        tokens = Tokens(redis)
        may_answer = threading.Event()

        def slow():
            given = tokens.get_credentials()
            assert may_answer.wait(20)
            return given

        client = new_client(Scripted(slow))
        replies = []
        threads = [
            threading.Thread(target=lambda: replies.append(client.execute(("ECHO", "x"))))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: tokens.asked == 1)
        logins = client._address.logins
        wait_until(lambda: (asked := logins._question) and len(asked._waiting) == 5)
        may_answer.set()
        for thread in threads:
            thread.join(20)
        assert replies == [[b"x"]] * 5
        assert tokens.asked == 1

    def test_needs_no_asking_where_the_password_is_in_the_url(self, redis, new_client):
        Users(redis)
        client = new_client(None, redis.url.replace("unix://", "unix://first:word@"))
        client.execute(("ECHO", "x"))
        assert list(connections(redis).values()) == ["first"]


class TestAPasswordFile:
    def test_is_read_at_each_connect(self, redis, new_client, tmp_path):
        file = tmp_path / "password"
        client = new_client(PasswordFile(str(file)))
        try:
            for password in ("one", "another word"):
                redis.client.config_set("requirepass", password)
                file.write_text(f"{password}\n")
                kill_connections(redis)
                assert client.execute(("ECHO", "x")) == [b"x"]
        finally:
            redis.client.config_set("requirepass", "")
        assert auths(redis) == (2, 0)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"", "has 0 lines with text, takes one"),
            (b"\n\n", "has 0 lines with text, takes one"),
            (b"one\ntwo\n", "has 2 lines with text, takes one"),
            (b"\xff\xfe", "is not text in UTF-8"),
        ],
    )
    def test_that_gives_no_password_is_the_reason(self, new_client, tmp_path, content, reason):
        file = tmp_path / "password"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(JournalUnavailableError) as refused:
            new_client(PasswordFile(str(file))).execute(("ECHO", "x"))
        assert refused.value.reason.endswith(f"there are no credentials: {file} {reason}")


class TestStreamsAndChannels:
    @pytest.mark.slow
    def test_lose_nothing_while_tokens_expire_and_connections_are_cut(self, redis, at_once):
        tokens = Tokens(redis)
        producer = Streams(redis.url, credentials=tokens)
        other = Streams(redis.url, credentials=tokens)
        is_over = threading.Event()

        def exchange():
            while not is_over.wait(0.15):
                tokens.renew()
                kill_connections(redis)

        exchanging = threading.Thread(target=exchange)
        exchanging.start()
        try:
            with producer.create() as stream:
                for number in range(150):
                    stream.publish(Event(data=str(number)))
                    is_over.wait(0.01)
        finally:
            is_over.set()
            exchanging.join(20)
        body = read(other, stream.id)
        assert body.count(b"\ndata: ") >= 150
        assert b"event: error" not in body
        assert tokens.asked > 3

    @pytest.mark.skipif(
        not hasattr(credentials, "StreamingCredentialProvider"), reason="since redis-py 5.3"
    )
    def test_take_a_streaming_provider_and_leave_its_callback_to_others(self, redis):
        tokens = Tokens(redis)

        class Streaming(credentials.StreamingCredentialProvider):
            def get_credentials(self):
                return tokens.get_credentials()

            def on_next(self, callback):
                raise AssertionError

            on_error = on_next

            def is_streaming(self):
                return True

        streams = Streams(redis.url, credentials=Streaming())
        with streams.create() as stream:
            stream.publish(Event(data="seen"))
        assert b"data: seen" in read(streams, stream.id)

    @pytest.mark.slow
    def test_hear_on_over_a_new_connection_when_credentials_change_and_nothing_is_told_of_that(
        self, redis, at_once, caplog
    ):
        users = Users(redis)
        channels = Channels(redis.url, credentials=users)
        with channels.turns:
            follower = channels.follow(["news"], "", lambda: None)

        def subscribers():
            return [each["user"] for each in redis.client.client_list("pubsub")]

        wait_until(lambda: subscribers() == ["first"])
        users.user = "second"
        is_over, published = threading.Event(), []

        def publish():
            while not is_over.wait(0.01):
                channels.publish("news", len(published))
                published.append(len(published))

        publishing = threading.Thread(target=publish)
        publishing.start()
        try:
            wait_until(lambda: subscribers() == ["second"], 20)
        finally:
            is_over.set()
            publishing.join(20)
        received = b""

        def has_all():
            nonlocal received
            with channels.turns:
                received += follower.take()
            return received.count(b"data:") >= len(published)

        wait_until(has_all)
        data = [int(event.data) for event in EventParser().feed(received)]
        assert data == published
        assert caplog.text == ""
        with channels.turns:
            follower.close()
        channels.close()

    def test_publish_and_hear_with_credentials_of_a_program(self, redis):
        tokens = Tokens(redis)
        channels = Channels(redis.url, credentials=tokens)
        heard = threading.Event()
        with channels.turns:
            follower = channels.follow(["news"], "", heard.set)
        channels.publish("news", 7)
        assert heard.wait(10)
        with channels.turns:
            assert b"data: 7" in follower.take()
            follower.close()
        channels.close()
        assert tokens.asked >= 2


class TestAnApp:
    """The extension, whose ``present`` asks Redis in the process of the test."""

    @pytest.fixture
    def new_app(self, redis):
        def new(**config):
            app = Flask("app")
            app.config.update({"SLUICE_REDIS_URL": redis.url, **config})
            return app

        return new

    @pytest.fixture
    def user_of(self, redis):
        """Has an app use Redis, and returns the user that it was."""
        with contextlib.ExitStack() as stack:

            def user_of(sluice, app):
                seen = set(connections_of_channels(redis))
                with app.app_context():
                    assert sluice.channels.present("news") == []
                    stack.callback(sluice.channels.close)
                # Where a first one was closed at once, there are two.
                (user,) = {
                    user for id_, user in connections_of_channels(redis).items() if id_ not in seen
                }
                return user

            yield user_of

    def test_logs_in_with_the_credentials_that_it_is_given(self, redis, new_app, user_of):
        Users(redis)
        sluice = Sluice(redis_credentials=Scripted(("first", "word")))
        one, other = new_app(), new_app()
        sluice.init_app(one)
        sluice.init_app(other, redis_credentials=Scripted(("second", "word")))
        assert user_of(sluice, one) == "first"
        assert user_of(sluice, other) == "second"

    def test_logs_in_with_the_password_in_the_file_of_its_config(
        self, redis, new_app, user_of, tmp_path
    ):
        Users(redis)
        file = tmp_path / "password"
        file.write_text("word")
        url = redis.url.replace("unix://", "unix://second@")
        app = new_app(SLUICE_REDIS_URL=url, SLUICE_REDIS_PASSWORD_FILE=str(file))
        assert user_of(Sluice(app), app) == "second"


@pytest.mark.slow
class TestTls:
    @pytest.fixture
    def server(self, tmp_path):
        """A Redis that refuses clients without a certificate that it knows."""
        made = make_certificates(tmp_path)
        port = free_port()
        file = str(made["good"])
        with RedisServer(
            *("--tls-port", str(port), "--tls-auth-clients", "yes"),
            *("--tls-cert-file", file, "--tls-key-file", file, "--tls-ca-cert-file", file),
        ):
            yield f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={file}", made

    def test_needs_a_certificate_of_the_client_where_the_server_says_so(self, server):
        url, made = server
        own = f"&ssl_certfile={made['good']}&ssl_keyfile={made['good']}"
        for options in ("", f"&ssl_certfile={made['untrusted']}"):
            client = RedisClient(url + options, "sluice-test")
            with pytest.raises(JournalUnavailableError, match="store of streams"):
                client.execute(("ECHO", "x"))
            client.close()
        streams = Streams(url + own)
        with streams.create() as stream:
            stream.publish(Event(data="over TLS"))
        assert b"data: over TLS" in read(streams, stream.id)

    def test_is_prepared_once_for_all_connections_and_anew_when_a_certificate_is_renewed(
        self, server, monkeypatch, tmp_path
    ):
        url, made = server
        own = tmp_path / "own"
        own.write_bytes(made["good"].read_bytes())
        contexts = []
        new_context = ssl.create_default_context

        def counted(*arguments, **options):
            contexts.append(1)
            return new_context(*arguments, **options)

        monkeypatch.setattr(ssl, "create_default_context", counted)
        client = RedisClient(f"{url}&ssl_certfile={own}", "sluice-test")

        def connect():
            kept = client.keep_connection()
            assert kept.execute(("ECHO", "x")) == [b"x"]
            kept.close()

        for _ in range(3):
            connect()
        assert len(contexts) == 1
        os.utime(own, (1, 1))
        connect()
        assert len(contexts) == 2
        own.write_bytes(made["untrusted"].read_bytes())
        with pytest.raises(JournalUnavailableError):
            connect()
        client.close()

    def test_believes_no_server_that_the_named_authority_does_not_vouch_for(self, server):
        url, made = server
        own = f"&ssl_certfile={made['good']}"
        for options, works in [
            (url.replace(str(made["good"]), str(made["untrusted"])) + own, False),
            (
                url.replace(str(made["good"]), str(made["untrusted"]))
                + own
                + "&ssl_cert_reqs=none",
                True,
            ),
        ]:
            client = RedisClient(options, "sluice-test")
            problem = client.check(lambda _tag: [("ECHO", "x")])
            client.close()
            assert (problem is None) is works, problem
