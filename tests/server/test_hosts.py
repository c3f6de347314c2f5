"""Host: an HTTP/1.1 request has one that is valid, and without API keys it is a name of this server."""

from collections.abc import Iterator

import pytest

from tests.support.server import Server
from tests.support.stream import Response, ask, get

KEY = "a-key-0123456789"
MODELS = b"GET /v1/models"


def request(
    *hosts: bytes, start: bytes = MODELS, version: bytes = b"1.1", lines: tuple[bytes, ...] = ()
) -> bytes:
    head = [start + b" HTTP/" + version, *(b"Host: " + host for host in hosts), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n"


def refusal(server: Server, request_: bytes) -> tuple[int, str]:
    response, body = ask(server, request_)
    return response.status, "" if response.status == 200 else body.decode()


@pytest.fixture(scope="module")
def named() -> Iterator[Server]:
    with Server(allowed_hosts="sluice.example.com,host_1,2001:db8::7", api_keys=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def wildcard() -> Iterator[Server]:
    with Server(host="0.0.0.0") as server:
        yield server


@pytest.mark.parametrize(
    "host",
    [
        *(b"localhost", b"LOCALHOST:8080", b"localhost.", b"localhost.:80", b"a.b.localhost:1"),
        *(b"127.0.0.1", b"127.0.0.1:65535", b"127.9.8.7", b"[::1]", b"[::1]:8080"),
        *(b"[0:0:0:0:0:0:0:1]", b"[::ffff:127.0.0.1]", b"localhost:"),
    ],
)
def test_a_name_of_loopback_is_answered(sluice, host):
    assert refusal(sluice, request(host)) == (200, "")


@pytest.mark.parametrize(
    "host",
    [
        *(b"evil.test", b"evil.test:8080", b"localhost.evil.test", b"evillocalhost", b"test"),
        *(b"127.0.0.1.evil.test", b"192.168.0.7", b"0.0.0.0", b"[::]", b"[2001:db8::7]"),
        *(b"127.1", b"2130706433", b"0x7f000001", b"%6cocalhost", b"localhost%00.evil.test"),
    ],
)
@pytest.mark.parametrize(
    "path", [b"/v1/models", b"/", b"/healthz", b"/metrics", b"/stream_chat?name=x", b"/nothing"]
)
def test_another_name_is_refused_with_the_setting_that_allows_it(sluice, host, path):
    status, error = refusal(sluice, request(host, start=b"GET " + path))
    assert status == 400
    assert '"code":"host_not_allowed"' in error
    assert "SLUICE_ALLOWED_HOSTS" in error


@pytest.mark.parametrize(
    "hosts",
    [
        *((), (b"",), (b" ",), (b"localhost", b"localhost"), (b"localhost", b"evil.test")),
        *((b"localhost, evil.test",), (b"local host",), (b"localhost/x",), (b"user@localhost",)),
        *((b"http://localhost",), (b"localhost:x",), (b"localhost:-1",), (b"localhost:99999",)),
        *((b"::1",), (b"[::1",), (b"[localhost]",), (b"[1:2]",), (b":8080",), (b".",), (b"\xe9",)),
        *((b"localhost:80:80",), (b"localhost?x",), (b"localhost#x",), (b"local\\host",)),
    ],
)
@pytest.mark.parametrize("path", [b"/v1/models", b"/healthz", b"/nothing"])
def test_a_missing_doubled_or_malformed_host_is_refused_with_and_without_keys(
    sluice, named, hosts, path
):
    for server in (sluice, named):
        status, error = refusal(server, request(*hosts, start=b"GET " + path))
        assert status == 400, (hosts, status)
        assert "host_not_allowed" not in error


def test_http_1_0_needs_no_host_but_one_that_it_gives_is_checked(sluice):
    assert refusal(sluice, request(version=b"1.0"))[0] == 200
    assert refusal(sluice, request(b"localhost", version=b"1.0"))[0] == 200
    assert refusal(sluice, request(b"evil.test", version=b"1.0"))[0] == 400
    assert refusal(sluice, request(b"a b", version=b"1.0"))[0] == 400


def test_a_target_in_absolute_form_counts_instead_of_the_header(sluice):
    for authority, host, status in (
        (b"localhost:8080", b"evil.test", 200),
        (b"evil.test", b"localhost", 400),
        (b"localhost@evil.test", b"localhost", 400),
    ):
        start = b"GET http://" + authority + b"/v1/models"
        assert refusal(sluice, request(host, start=start))[0] == status, authority
    assert refusal(sluice, request(start=b"GET http://localhost/v1/models"))[0] == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((b"sluice.example.com", 200), (b"SLUICE.example.com.:443", 200), (b"host_1:80", 200)),
        *((b"[2001:DB8:0::7]:1", 200), (b"localhost", 200), (b"127.0.0.1:5", 200)),
        *((b"a.sluice.example.com", 400), (b"example.com", 400), (b"[2001:db8::8]", 400)),
    ],
)
def test_where_hosts_are_listed_the_others_are_refused_with_a_key_too(named, host, status):
    key = b"Authorization: Bearer " + KEY.encode()
    assert refusal(named, request(host, lines=(key,)))[0] == status


def test_with_keys_and_without_a_list_any_name_is_answered():
    key = b"Authorization: Bearer " + KEY.encode()
    with Server(api_keys=KEY) as server:
        assert refusal(server, request(b"any.test", lines=(key,)))[0] == 200


def test_an_asterisk_allows_any_name():
    with Server(allowed_hosts="*") as server:
        assert refusal(server, request(b"any.test"))[0] == 200
        assert refusal(server, request(b"a b"))[0] == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("192.0.2.7:8080", 200), ("[2001:db8::7]", 200), ("0.0.0.0:8080", 200)),
        *(("localhost", 200), ("evil.test", 400), ("192.0.2.7.evil.test", 400)),
    ],
)
def test_at_a_wildcard_address_every_ip_address_is_answered_and_no_other_name(
    wildcard, host, status
):
    assert refusal(wildcard, request(host.encode()))[0] == status


@pytest.mark.slow
def test_behind_a_unix_socket_only_loopback_and_listed_names_are_answered(tmp_path):
    with Server(unix_socket=tmp_path / "s", allowed_hosts="site.test") as server:
        for host, status in ((b"site.test", 200), (b"localhost", 200), (b"sluice", 400)):
            assert refusal(server, request(host))[0] == status
    with Server(unix_socket=tmp_path / "t") as server:
        assert refusal(server, request(b"sluice"))[0] == 400
        assert "SLUICE_ALLOWED_HOSTS" in server.log


def test_the_name_that_a_trusted_proxy_forwards_is_checked_too():
    with Server(trusted_proxies="127.0.0.1", allowed_hosts="site.test") as server:
        for forwarded, status in (("site.test", 200), ("evil.test", 400), ("a b", 400)):
            response, _ = ask(server, get("/v1/models", X_Forwarded_Host=forwarded))
            assert response.status == status


def test_a_forwarded_name_does_not_replace_one_that_is_refused(sluice):
    with Server(trusted_proxies="127.0.0.1") as trusting:
        for server in (sluice, trusting):
            line = b"X-Forwarded-Host: localhost"
            assert refusal(server, request(b"evil.test", lines=(line,)))[0] == 400


def test_the_refusal_is_counted(sluice):
    with sluice.connect() as sock:
        sock.sendall(request(b"evil.test"))
        assert Response(sock).status == 400
    metrics = ask(sluice, get("/metrics"))[1].decode()
    assert 'sluice_requests_refused_total{code="host_not_allowed",status="400"}' in metrics
