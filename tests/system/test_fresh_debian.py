"""The steps of docs/deployment.md, run as they are written on a Debian that has nothing yet; and what they make."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.readme import DEPLOYMENT, example
from tests.support.server import Server
from tests.system.fresh_debian import FreshDebian

# Installs for minutes with both cores.
pytestmark = [pytest.mark.slow, pytest.mark.deployment, pytest.mark.timeout(1200)]

HOST = "sluice.test"
CERTIFICATE = f"""\
mkdir -p /etc/letsencrypt/live/{HOST}
openssl req -x509 -nodes -days 1 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN={HOST} \
    -addext subjectAltName=DNS:{HOST} -keyout /etc/letsencrypt/live/{HOST}/privkey.pem \
    -out /etc/letsencrypt/live/{HOST}/fullchain.pem
cp /etc/letsencrypt/live/{HOST}/fullchain.pem /usr/local/share/ca-certificates/{HOST}.crt
update-ca-certificates
"""
"""In place of certbot, which would ask an authority on the internet."""
CURL = f"curl --silent --show-error --fail https://{HOST}"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def host(upstream) -> Iterator[FreshDebian]:
    steps = example("sh", "apt-get install", DEPLOYMENT)
    for name, value in [("HOST", HOST), ("UPSTREAM", f"{upstream.url}/v1"), ("SOURCE", "/source")]:
        steps, count = re.subn(rf"^{name}=.*$", f"{name}={value}", steps, flags=re.MULTILINE)
        assert count == 1, name
    steps, count = re.subn(r"^certbot .*$", lambda _: CERTIFICATE, steps, flags=re.MULTILINE)
    assert count == 1
    with FreshDebian(HOST) as host:
        host.run(steps, check=True)
        yield host


def ask(host: FreshDebian, path: str, body: object) -> str:
    """POST with the key that the steps have made, and return the response."""
    key = host.run("sed -n 's/^SLUICE_API_KEYS=//p' /etc/sluice/environment").strip()
    header = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    return host.run(f"{CURL}{path} {header} -d '{json.dumps(body)}'", check=True)


CHAT = {
    "model": "any",
    "stream": True,
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "hi"}],
}


def test_answer_streams_to_a_client_with_the_key(host):
    assert ask(host, "/v1/chat/completions", CHAT).endswith("data: [DONE]\n\n")


def test_client_without_the_key_gets_nothing(host):
    assert "401" in host.run(f"{CURL}/v1/models")


def test_resumable_streams_outlive_a_restart_of_redis(host):
    printed = ask(host, "/v1/streams", CHAT)
    url = json.loads(re.search(r"^{.*}$", printed, re.MULTILINE)[0])["url"]
    first = host.run(f"{CURL}{url}", check=True)
    assert "event: done" in first
    host.run("sleep 1; systemctl restart redis-server", check=True)
    again = host.run(f"{CURL}{url} --retry 5 --retry-all-errors", check=True)
    assert "event: done" in again


def test_no_other_user_reads_redis_or_the_socket_or_the_keys(host):
    for command in [
        "redis-cli -s /run/redis/redis-server.sock ping",
        "curl --silent --show-error --unix-socket /run/sluice/gunicorn.sock http://localhost/healthz",
        "cat /etc/sluice/environment",
    ]:
        printed = host.run(f"setpriv --reuid nobody --regid nogroup --clear-groups {command}")
        assert (
            "ermission denied" in printed or "ouldn't connect" in printed or "Could not" in printed
        )


def test_redis_listens_on_no_port_and_drops_nothing(host):
    command = "redis-cli -s /run/redis/redis-server.sock config get"
    for name, value in [("port", "0"), ("appendonly", "yes"), ("maxmemory-policy", "noeviction")]:
        assert host.run(f"{command} {name}").split() == [name, value]


def test_nginx_has_one_block_of_events_with_as_many_connections_as_streams_need(host):
    configuration = host.run("nginx -T 2> /dev/null")
    assert configuration.count("\nevents {") == 1
    assert re.findall(r"^\s*worker_connections (\d+);", configuration, re.MULTILINE) == ["32768"]
    assert re.findall(r"^worker_rlimit_nofile (\d+);", configuration, re.MULTILINE) == ["65536"]


def test_all_three_start_with_the_host(host):
    assert host.run("systemctl is-enabled sluice nginx redis-server").split() == ["enabled"] * 3


def test_memory_has_a_limit_beyond_which_one_worker_ends_and_not_all(host):
    shown = host.run("systemctl show sluice --property MemoryMax --property OOMPolicy").split()
    assert sorted(shown) == ["MemoryMax=2147483648", "OOMPolicy=continue"]


def test_reload_goes_on_serving(host):
    command = "systemctl reload sluice || { journalctl --no-pager -u sluice -n 40; false; }"
    host.run(command, check=True)
    assert ask(host, "/v1/chat/completions", CHAT).endswith("data: [DONE]\n\n")
