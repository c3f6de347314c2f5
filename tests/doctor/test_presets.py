"""How the doctor asks for the streams of each kind of API, and which kind it takes a URL for."""

import json

import pytest

from flask_sluice.doctor import examine
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.options import Options
from flask_sluice.doctor.presets.choosing import choose_preset
from flask_sluice.sse.event import ReceivedEvent
from tests.doctor.zoo.origins.raw_origin import raw_origin
from tests.doctor.zoo.origins.script import path
from tests.server.raw_upstream import RawUpstream, head, sends, streams, target_of, whole

HOST = "http://api.example"


class Server:
    """Answers the requests of a choice, and remembers them."""

    def __init__(self, status=404, body=b"", headers=()):
        self.answer = (status, body, list(headers))
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        status, body, headers = self.answer
        recording = Recording(request, status=status, headers=headers)
        recording.add(0.0, body)
        return recording

    @property
    def asked(self):
        return [(request.method, request.path) for request in self.requests]


def models(**model):
    return Server(200, json.dumps({"object": "list", "data": [model]}).encode())


def chosen(url, server=None, **options):
    return choose_preset(Options(HOST + url, **options), server or Server())


def body_of(preset):
    return json.loads(preset.request().body)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/v1/chat/completions", "openai"),
        ("/openai/deployments/gpt/chat/completions?api-version=1", "openai"),
        ("/v1/completions", "openai"),
        ("/v1/responses/", "openai"),
        ("/v1/messages", "anthropic"),
        ("/mcp", "mcp"),
        ("/events", "eventsource"),
        ("/chats/7/messages", "eventsource"),
    ],
)
def test_the_path_tells_the_kind_of_stream(url, name):
    assert chosen(url).name == name


def test_the_preset_that_the_user_names_wins():
    assert chosen("/v1/chat/completions", preset="eventsource").name == "eventsource"


def test_a_server_that_lists_models_is_asked_for_a_chat():
    server = models(id="llama", object="model")
    request = chosen("", server).request()
    assert request.url == f"{HOST}/v1/chat/completions"
    assert json.loads(request.body)["model"] == "llama"
    assert server.asked == [("GET", "/v1/models")]


def test_a_server_that_lists_anthropics_models_is_asked_for_a_message():
    preset = chosen("/v1", models(id="claude", type="model"))
    assert preset.name == "anthropic"
    assert preset.request().url == f"{HOST}/v1/messages"


def test_a_server_without_models_is_a_stream_of_its_own():
    assert chosen("/").name == "eventsource"
    assert chosen("/").request().url == f"{HOST}/"


def test_a_base_with_another_version_is_kept():
    preset = chosen("/api/v4", preset="openai", model="glm")
    assert preset.request().url == f"{HOST}/api/v4/chat/completions"


def test_the_user_s_body_is_sent_as_it_is_and_no_model_is_looked_up():
    server = Server()
    preset = chosen("/v1/chat/completions", server, post=b'{"model": "mine"}')
    assert preset.request().body == b'{"model": "mine"}'
    assert not server.requests


def test_a_query_of_the_url_is_kept():
    server = models(id="llama")
    preset = chosen("/v1/chat/completions?key=7", server)
    assert preset.request().path == "/v1/chat/completions?key=7"
    assert server.asked == [("GET", "/v1/models?key=7")]


def test_chats_completions_and_responses_have_bodies_of_their_own():
    for url, field in (
        ("/v1/chat/completions", "messages"),
        ("/v1/completions", "prompt"),
        ("/v1/responses", "input"),
    ):
        body = body_of(chosen(url, model="m"))
        assert {"messages", "prompt", "input"} & body.keys() == {field}
        assert body["stream"] is True
        assert body["model"] == "m"


def test_every_question_has_a_limit_of_tokens():
    for url, model, field in (
        ("/v1/chat/completions", "llama", "max_tokens"),
        ("/v1/chat/completions", "gpt-5-mini", "max_completion_tokens"),
        ("/v1/completions", "llama", "max_tokens"),
        ("/v1/responses", "gpt-5", "max_output_tokens"),
        ("/v1/messages", "claude", "max_tokens"),
    ):
        assert body_of(chosen(url, model=model))[field] <= 64


def test_messages_carry_the_version_of_the_api_unless_the_user_gives_one():
    ours = chosen("/v1/messages", model="claude").request()
    assert ours.headers["anthropic-version"]
    own = chosen("/v1/messages", model="claude", headers={"Anthropic-Version": "x"}).request()
    assert own.headers == {"Anthropic-Version": "x"}


# Ends and errors.


def event(data, name="message"):
    return ReceivedEvent(data if isinstance(data, str) else json.dumps(data), name)


@pytest.mark.parametrize(
    ("url", "terminal", "other"),
    [
        ("/v1/chat/completions", event("[DONE]"), event({"choices": []})),
        ("/v1/responses", event({"type": "response.completed"}), event("[DONE]")),
        (
            "/v1/responses",
            event({"type": "response.incomplete"}),
            event({"type": "response.output_text.done"}, "response.output_text.done"),
        ),
        ("/v1/messages", event({"type": "message_stop"}), event({"type": "content_block_stop"})),
        ("/mcp", event({"id": 1, "result": {}}), event({"method": "x", "params": {"result": 1}})),
        ("/events", event("", "done"), event("done")),
        ("/events", event({"type": "complete"}), event({"type": "progress", "done": 3})),
        ("/events", event({"done": True}), event({"done": False})),
    ],
)
def test_each_kind_knows_its_terminal_event(url, terminal, other):
    preset = chosen(url, model="m")
    assert preset.is_terminal(terminal)
    assert not preset.is_terminal(other)


@pytest.mark.parametrize(
    ("url", "error", "other"),
    [
        ("/v1/chat/completions", {"error": {"message": "full"}}, {"error": None, "choices": []}),
        ("/v1/chat/completions", {"object": "error", "message": "full"}, {"object": "chunk"}),
        ("/v1/messages", {"type": "error", "error": {"message": "full"}}, {"type": "ping"}),
        (
            "/v1/responses",
            {"type": "response.failed", "response": {"error": {"message": "full"}}},
            {"type": "response.completed", "response": {"error": None}},
        ),
        ("/events", {"error": "full"}, {"error": ""}),
    ],
)
def test_errors_are_known_in_the_shapes_that_are_in_use(url, error, other):
    preset = chosen(url, model="m")
    assert "full" in preset.error_in(event(error))
    assert preset.error_in(event(other)) == ""


def test_an_event_named_error_is_one_whatever_its_data():
    assert chosen("/events").error_in(event("out of memory", "error")) == "out of memory"
    assert chosen("/events").error_in(event("", "error"))


# Model Context Protocol.


def test_a_call_of_the_user_is_made_in_a_session():
    server = Server(200, b"{}", [("Mcp-Session-Id", "s1")])
    call = b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call"}'
    request = chosen("/mcp", server, post=call).request()
    assert request.body == call
    assert request.headers["Mcp-Session-Id"] == "s1"
    methods = [json.loads(each.body)["method"] for each in server.requests]
    assert methods == ["initialize", "notifications/initialized"]


def test_a_session_s_notifications_are_read_where_the_server_streams_them():
    server = Server(200, b"", [("Content-Type", "text/event-stream")])
    preset = chosen("/mcp", server)
    assert preset.request().method == "GET"
    assert not preset.must_end_with


def test_else_the_answer_to_initialize_is_the_stream():
    preset = chosen("/mcp", Server(200, b"{}", [("Content-Type", "application/json")]))
    assert body_of(preset)["method"] == "initialize"
    assert preset.must_end_with


def test_a_tool_that_streams_is_examined_in_its_session():
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "count"}}
    with raw_origin() as url:
        report = examine(url + path("/mcp"), post=json.dumps(call).encode(), groups=("framing",))
    assert report.preset == "mcp"
    assert report.problem == ""
    assert not report.faults


def test_a_server_that_answers_in_json_alone_is_told_what_to_give():
    with RawUpstream(sends(whole(b'{"jsonrpc": "2.0", "id": 1, "result": {}}'))) as server:
        assert "--post" in examine(f"http://{server.host}/mcp").problem


# Answers that are not a stream.


def test_an_error_in_json_with_200_is_told_as_an_error():
    with RawUpstream(sends(whole(b'{"error": {"message": "no key"}}'))) as server:
        problem = examine(f"http://{server.host}/events").problem
    assert "200 with an error" in problem
    assert "no key" in problem


def test_a_stream_that_was_only_made_is_named():
    with RawUpstream(sends(whole(b"{}", "201 Created", Location="/v1/streams/7"))) as server:
        report = examine(f"http://{server.host}/v1/streams", post=b"{}")
        assert f"http://{server.host}/v1/streams/7" in report.problem


def test_a_models_list_leads_to_the_chat_of_a_real_server():
    def handler(sock, request):
        answer = {
            "/v1/models": sends(whole(b'{"data": [{"id": "llama"}]}')),
            "/v1/chat/completions": streams(b'data: {"choices": []}\n\n', b"data: [DONE]\n\n"),
        }
        answer.get(target_of(request), sends(head("404 Not Found")))(sock, request)

    with RawUpstream(handler) as server:
        report = examine(f"http://{server.host}", groups=("framing",))
        assert report.problem == ""
        assert report.preset == "openai"
        assert b'"model": "llama"' in server.requests[-1]
