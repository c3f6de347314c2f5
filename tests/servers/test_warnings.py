"""What a server does not give, and would with another option, is said once in its log."""

import pytest

from tests.servers.environments import Environments
from tests.servers.running import RunningServer
from tests.servers.wsgi_servers import SERVERS, WsgiServer, gunicorn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


TORNADO = WsgiServer("tornado", "gunicorn, `-k tornado`", gunicorn("-k", "tornado"))


def log_after_two_streams(environments: Environments, server_id: str) -> str:
    (server,) = (each for each in [*SERVERS, TORNADO] if each.id == server_id)
    with RunningServer(server, environments) as running:
        for _ in range(2):
            with running.stream("raises", running.new_key()) as answer:
                answer.body()
        return running.log


def test_waitress_without_lookahead_is_told_of_the_option_once(environments: Environments):
    assert log_after_two_streams(environments, "waitress").count("channel_request_lookahead=1") == 1


def test_waitress_with_lookahead_is_not_told_of_it(environments: Environments):
    log = log_after_two_streams(environments, "waitress-lookahead")
    assert "channel_request_lookahead" not in log


def test_tornado_is_told_once_that_it_does_not_stream(environments: Environments):
    log = log_after_two_streams(environments, "tornado")
    assert log.count("holds a response back until its end") == 1


@pytest.mark.parametrize("server_id", ["sync", "uwsgi"])
def test_a_server_of_one_thread_is_told_once_that_others_wait(
    environments: Environments, server_id: str
):
    assert log_after_two_streams(environments, server_id).count("one request at a time") == 1
