"""What each extension promises holds for a view that streams."""

import contextlib
import http.client
import json

from flask_sluice.sse import EventParser
from tests.extensions.extended_server import HEADERS, new_key
from tests.support.server import wait_until
from tests.support.stream import Response, ask, get


def data_of(body: bytes) -> list[str]:
    return [event.data for event in EventParser().feed(body)]


def path_with_key(path: str) -> str:
    return f"{path}?key={new_key()}"


class Browser:
    """Keeps cookies from one request to the next."""

    def __init__(self, server) -> None:
        self._server = server
        self._cookies: dict[str, str] = {}

    def request(self, method: str, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=20)
        with contextlib.closing(connection):
            cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            connection.request(method, path, headers={"Cookie": cookies, **headers})
            response = connection.getresponse()
            for cookie in response.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
            return response.status, response.read()


def test_flask_login_lets_only_users_in(server):
    path = path_with_key("/login/mine")
    assert ask(server, get(path))[0].status == 401
    assert data_of(server.answer(path)[1]) == ["ada"]


def test_flask_sqlalchemys_pool_of_three_is_free_while_fifty_streams_run(server):
    keys = [new_key() for _ in range(50)]
    with contextlib.ExitStack() as stack:
        responses = []
        for key in keys:
            response = stack.enter_context(server.reading(f"/sqlalchemy/steps?key={key}"))
            response.until(b"first")
            responses.append(response)
        assert server.answer(path_with_key("/sqlalchemy/pool"))[0].status == 200
        used = json.loads(server.answer(path_with_key("/sqlalchemy/pool"))[1])["used"]
        assert used <= 1  # this request's own
        for key, response in zip(keys, responses, strict=True):
            server.go_on(key)
            assert response.body().endswith(b"data: third\n\n")


def test_a_generator_saves_with_flask_sqlalchemy_after_its_terminal_event(server):
    key = new_key()
    server.answer(f"/sqlalchemy/saves?key={key}")
    wait_until(lambda: key in json.loads(server.answer("/sqlalchemy/saved")[1])["keys"])


def test_flask_caching_keeps_pages_and_gives_each_client_a_stream_of_its_own(server):
    first, second = server.answer("/caching/page"), server.answer("/caching/page")
    assert first[1] == second[1]
    key = new_key()
    server.go_on(key)
    for _ in range(2):
        _, body = server.answer(f"/caching/steps?key={key}")
        assert data_of(body) == ["first", "second", "third"]
    assert "is not cached" in server.log
    assert "Exception possibly due to cache backend" not in server.log


def test_flask_compress_compresses_pages(server):
    assert "content-encoding" in server.answer("/compress/page")[0].headers
    assert "content-encoding" in server.answer("/compress_streams/page")[0].headers


def test_flask_compress_that_would_hold_streams_back_is_told_once(server):
    for _ in range(2):
        server.answer(path_with_key("/compress_streams/refuses"))
    assert server.log.count("take text/event-stream out of COMPRESS_MIMETYPES") == 1


def test_flask_wtf_refuses_a_post_without_its_token(server):
    browser, key = Browser(server), new_key()
    path = f"/wtf/posted?key={key}"
    assert browser.request("POST", path)[0] == 400
    token = json.loads(browser.request("GET", "/wtf/token")[1])["token"]
    server.go_on(key)
    status, body = browser.request("POST", path, **{"X-CSRFToken": token})
    assert (status, data_of(body)) == (200, ["first", "second", "third"])


def test_flask_cors_names_the_origin_that_may_read(server):
    response, _ = server.answer(path_with_key("/cors/refuses"))
    assert response.headers["access-control-allow-origin"] == HEADERS["Origin"]
    assert response.headers["access-control-allow-credentials"] == "true"


def test_flask_limiter_refuses_the_third_of_two_streams(server):
    key = new_key()
    server.go_on(key)
    answers = [server.answer(f"/limiter/limited?key={key}")[0] for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-remaining"] == "1"


def test_flask_session_keeps_what_a_view_sets_before_its_stream(server):
    browser = Browser(server)
    counts = [
        data_of(browser.request("GET", path_with_key("/server_side_session/counted"))[1])
        for _ in range(2)
    ]
    assert counts == [["1"], ["2"]]


def test_proxy_fix_tells_the_view_who_asks(server):
    _, body = server.answer(path_with_key("/proxy_fix/whence"), X_Forwarded_Prefix="/below")
    assert json.loads(data_of(body)[0]) == ["203.0.113.7", "https", "/below"]


def test_the_prometheus_exporter_counts_a_stream_once(server):
    before = requests_counted(server)
    server.answer(path_with_key("/prometheus/refuses"))
    assert requests_counted(server) == before + 1


def requests_counted(server) -> float:
    text = server.answer("/prometheus/metrics")[1].decode()
    name = 'flask_http_request_total{method="GET",status="200"}'
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
    )


def test_werkzeugs_profiler_sends_all_events_at_the_end(server):
    key = new_key()
    server.go_on(key)
    _, body = server.answer(f"/profiler/steps?key={key}")
    assert data_of(body) == ["first", "second", "third"]


def test_werkzeugs_debugger_shows_the_error_of_a_view(server):
    with server.connect() as sock:
        sock.sendall(get("/debugger/fails_first?key=k&hold=5"))
        response = Response(sock)
        assert response.status == 500
        assert b"ZeroDivisionError" in response.body()


def test_flask_babel_knows_the_clients_language_in_the_view(server):
    assert data_of(server.answer(path_with_key("/babel/locale"))[1]) == ["de"]


def test_flask_talisman_sets_its_headers(server):
    headers = server.answer(path_with_key("/talisman/refuses"))[0].headers
    assert "content-security-policy" in headers
    assert headers["x-content-type-options"] == "nosniff"
