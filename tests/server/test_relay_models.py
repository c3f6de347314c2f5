"""With SLUICE_MODELS, no request reaches the upstream that names another model, however it names it."""

import codecs
import json

import pytest

from tests.server.raw_upstream import sends, target_of, whole
from tests.server.relayed import PATH
from tests.support.server import Server
from tests.support.stream import ask, get, post

FORM = "/v1/audio/transcriptions"
FORM_TYPE = "multipart/form-data; boundary=b"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n\0\xff'
OURS = b'Content-Disposition: form-data; name="model"\r\n\r\nours'


@pytest.fixture(scope="module")
def choosy(raw_upstream):
    with Server(upstream=raw_upstream.url, models="ours,org/ours") as server:
        yield server


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def upload(*parts: bytes, content_type: str = FORM_TYPE) -> bytes:
    return post(FORM, form(*parts), Content_Type=content_type)


def named(
    value: bytes, disposition: bytes = b'form-data; name="model"', more: bytes = b""
) -> bytes:
    return b"Content-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + value


OTHERS = {
    "stream-of-another-type": post(PATH, b'{"model": "big", "stream": 1}'),
    "embeddings": post("/v1/embeddings", b'{"model": "big", "stream": 1}'),
    "nan": post("/v1/messages", b'{"model": "big", "x": NaN}'),
    "chat-nan": post(PATH, b'{"model": "big", "x": NaN}'),
    "infinity": post("/v1/x", b'{"model": "big", "x": -Infinity}'),
    "surrogate": post("/v1/responses", rb'{"model": "big", "x": "\ud800"}'),
    "byte-order-mark": post("/v1/x", codecs.BOM_UTF8 + b'{"model": "big"}'),
    "chat-byte-order-mark": post(PATH, codecs.BOM_UTF8 + b'{"model": "big"}'),
    "utf-16": post("/v1/embeddings", '{"model": "big"}'.encode("utf-16")),
    "utf-16-le": post(PATH, '{"model": "big"}'.encode("utf-16-le")),
    "utf-32": post("/v1/x", '{"model": "big"}'.encode("utf-32")),
    "latin-1": post("/v1/x", b'{"model": "big", "x": "\xe9"}'),
    "bad-utf-8-in-a-name": post("/v1/embeddings", b'{"model": "\xff"}'),
    "second-key": post(PATH, b'{"model": "ours", "model": "big"}'),
    "second-key-first": post(PATH, b'{"model": "big", "model": "ours"}'),
    "escaped-second-key": post(PATH, rb'{"model": "ours", "mod\u0065l": "big"}'),
    "escaped-key": post("/v1/x", rb'{"mod\u0065l": "big"}'),
    "key-in-another-case": post(PATH, b'{"Model": "big"}'),
    "both-cases": post(PATH, b'{"model": "ours", "MODEL": "big"}'),
    "number": post(PATH, b'{"model": 1}'),
    "list": post(PATH, b'{"model": ["big"]}'),
    "object": post("/v1/x", b'{"model": {"name": "big"}}'),
    "fallbacks": post(PATH, b'{"model": "ours", "models": ["ours", "big"]}'),
    "litellm-fallbacks": post(PATH, b'{"model": "ours", "fallbacks": [{"model": "big"}]}'),
    "tool": post("/v1/responses", b'{"model": "ours", "tools": [{"type": "x", "model": "big"}]}'),
    "session": post("/v1/realtime/client_secrets", b'{"session": {"model": "big"}}'),
    "array": post("/v1/x", b'[{"model": "big"}]'),
    "batch": post("/v1/batches", b'{"input_file_id": "file-1"}'),
    "message-batch": post("/v1/messages/batches", b'{"requests": [{"params": {"model": "big"}}]}'),
    "text": post("/v1/x", b'{"model": "big"}', Content_Type="text/plain"),
    "no-type": post("/v1/x", b'{"model": "big"}', Content_Type=""),
    "not-json": post("/v1/x", b"model: big", Content_Type="application/yaml"),
    "urlencoded": post("/v1/x", b"model=big", Content_Type="application/x-www-form-urlencoded"),
    "json-as-urlencoded": post(
        "/v1/x", b'{"x": "&model=big&"}', Content_Type="application/x-www-form-urlencoded"
    ),
    "streams": post("/v1/streams", b'{"model": "ours", "Model": "big", "messages": []}'),
    "query": get("/v1/x?a=1&MODEL=big"),
    "escaped-query": get("/v1/x?mod%65l=big"),
    "path": get("/v1/models/big"),
    "escaped-path": get("/v1/models%2fbig"),
    "path-below-ours": get("/v1/models/ours/big"),
    "engine": post("/v1/engines/big/completions", b"{}"),
    "deployment": post("/v1/openai/deployments/big/chat/completions", b"{}"),
    "form": upload(FILE, named(b"big")),
    "form-twice": upload(FILE, OURS, named(b"big")),
    "form-in-another-case": upload(FILE, named(b"big", b'form-data; name="Model"')),
    "form-without-quotes": upload(FILE, named(b"big", b"form-data; name=model")),
    "form-as-file": upload(FILE, named(b"big", b'form-data; name="model"; filename="x"')),
    "form-second-name": upload(FILE, named(b"big", b'form-data; name="x"; name="model"')),
    "form-extended-name": upload(FILE, named(b"big", b"form-data; name*=utf-8''model")),
    "form-escaped-name": upload(FILE, named(b"big", rb'form-data; name="mod\el"')),
    "form-charset": upload(
        FILE, named("big".encode("utf-16"), more=b"Content-Type: text/plain; charset=utf-16\r\n")
    ),
    "form-base64": upload(FILE, named(b"b3Vycw==", more=b"Content-Transfer-Encoding: base64\r\n")),
    "form-folded": upload(FILE, named(b"big", b'form-data;\r\n name="model"')),
    "form-bare-lf": upload(FILE, named(b"big", b'form-data; name="x"\nX: y; name="model"')),
    "form-two-boundaries": upload(
        FILE, named(b"big"), content_type="multipart/form-data; boundary=c; boundary=b"
    ),
    "form-no-boundary": upload(FILE, OURS, content_type="multipart/form-data"),
    "form-preamble": post(FORM, b"x\r\n" + form(FILE, OURS), Content_Type=FORM_TYPE),
    "form-epilogue": post(FORM, form(FILE, OURS) + form(named(b"big")), Content_Type=FORM_TYPE),
    "form-unfinished": post(FORM, form(FILE, OURS)[:-6], Content_Type=FORM_TYPE),
    "json-as-form": post(FORM, b'{"model": "big"}', Content_Type=FORM_TYPE),
}


@pytest.mark.parametrize("request_", OTHERS.values(), ids=OTHERS.keys())
def test_a_model_that_is_not_listed_never_reaches_the_upstream(choosy, upstream, request_):
    upstream.handler = sends(whole(b"{}"))
    response, body = ask(choosy, request_)
    assert response.status in (400, 404, 415), body
    assert json.loads(body)["error"]["message"]
    assert upstream.requests == []


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/embeddings", "/v1/x"])
def test_the_refusal_of_a_model_names_those_that_are_listed(choosy, upstream, path):
    response, body = ask(choosy, post(path, {"model": "theirs"}))
    error = json.loads(body)["error"]
    assert (response.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "ours, org/ours" in error["message"]


OURS_NAMED = {
    "chat": post(PATH, {"model": "ours"}),
    "byte-order-mark": post(PATH, codecs.BOM_UTF8 + b'{"model": "ours"}'),
    "escaped-value": post("/v1/embeddings", rb'{"model": "ou\u0072s", "seed": 1}'),
    "fallbacks": post(PATH, {"model": "ours", "models": ["org/ours"]}),
    "a-tools-field": post(PATH, b'{"model": "ours", "tools": [{"function": {"x": {"model": 1}}}]}'),
    "text": post("/v1/x", b'{"model": "ours"}', Content_Type="text/plain"),
    "none": post("/v1/embeddings", {"input": "x"}),
    "null": post("/v1/embeddings", {"model": None}),
    "array": post("/v1/x", ["theirs"]),
    "big-number": post(PATH, b'{"model": "ours", "seed": 123456789012345678901234567890}'),
    "query": get("/v1/x?model=ours"),
    "path": get("/v1/models/org/ours"),
    "escaped-path": get("/v1/models/org%2Fours"),
    "all-models": get("/v1/models"),
    "engine": post("/v1/engines/ours/completions", b"{}"),
    "form": upload(FILE, OURS),
    "form-without-model": upload(FILE),
    "form-of-dotnet": upload(
        named(b"ours", b"form-data; name=model", b"Content-Type: text/plain; charset=utf-8\r\n"),
        b"Content-Type: audio/mpeg\r\nContent-Disposition: form-data; name=file; filename=a.mp3; "
        b"filename*=utf-8''a.mp3\r\n\r\nx",
    ),
    "form-of-okhttp": upload(named(b"ours", more=b"Content-Length: 4\r\n"), FILE),
    "quoted-boundary": upload(FILE, OURS, content_type='multipart/form-data; boundary="b"'),
}


@pytest.mark.parametrize("request_", OURS_NAMED.values(), ids=OURS_NAMED.keys())
def test_a_request_that_names_no_other_model_passes(choosy, upstream, request_):
    upstream.handler = sends(whole(b"{}"))
    response, body = ask(choosy, request_)
    assert response.status == 200, body
    assert target_of(upstream.requests[0]) == target_of(request_)
