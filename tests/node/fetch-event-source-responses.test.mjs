// FetchEventSource under node: responses of a caller's fetch function, which may be anything.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

import { FetchEventSource } from "../../static/js/fetch-event-source/fetch-event-source.js";
import { end, next, open, streamResponse } from "./recorded-source.mjs";
import { refuses, serve } from "./scripted-server.mjs";

const HEADERS = { "Content-Type": "text/event-stream" };
const EVENT = "data: x\n\n";

/** Returns a response with a body that is not a ReadableStream. */
function responseWith(body) {
  return { status: 200, headers: new Headers(HEADERS), url: "", bodyUsed: false, body };
}

function lockedResponse() {
  const response = streamResponse(EVENT);
  response.body.getReader();
  return response;
}

async function consumedResponse() {
  const response = streamResponse(EVENT);
  await response.text();
  return response;
}

function responseBeingRead() {
  const response = streamResponse(EVENT);
  response.text();
  return response;
}

const READER = { read: async () => ({ done: true }), cancel: async () => {} };
const UNREADABLE = {
  "whose body is locked": [lockedResponse, /reads its body/],
  "whose body was read already": [consumedResponse, /has read it/],
  "whose body is being read": [responseBeingRead, /reads its body/],
  "whose body has no getReader": [() => responseWith({ [Symbol.asyncIterator]() {} }), /not a ReadableStream/],
  "without the property body, as in React Native": [() => responseWith(undefined), /not a ReadableStream/],
  "whose getReader throws": [() => responseWith({ getReader() { throw new Error("no reader"); } }), /no reader/],
  "whose body has text in place of bytes": [() => responseWith(ReadableStream.from([EVENT])), /string in place of bytes/],
  "whose body has null in place of bytes": [() => responseWith(ReadableStream.from([null])), /null in place of bytes/],
  "whose body has numbers in place of bytes": [() => responseWith(ReadableStream.from([7])), /number in place of bytes/],
  "whose body has 16-bit numbers in place of bytes": [
    () => responseWith(ReadableStream.from([new Uint16Array(4)])),
    /object in place of bytes/,
  ],
  "without headers": [() => ({ status: 200, body: null }), /headers|undefined/],
  "with a plain object as headers": [() => ({ status: 200, headers: {}, body: null }), /not a function/],
  "with a URL that is not valid": [() => ({ ...responseWith(new Blob([EVENT]).stream()), url: "x" }), /URL/],
  "that is undefined": [() => undefined, /undefined/],
  "that is null": [() => null, /null/],
};

for (const [what, [create, message]] of Object.entries(UNREADABLE)) {
  test(`a response ${what}: one error of the kind response, in every mode`, async (t) => {
    for (const reconnect of ["native", "always", "on-error", "never"]) {
      const { source } = open(t, "http://a/", { fetch: async () => create(), reconnect });
      const event = await end(source);
      assert.deepEqual([event.kind, event.willRetry, source.readyState], ["response", false, FetchEventSource.CLOSED]);
      assert.match(event.message, /^The response cannot be read: .+\.$/);
      assert.match(event.message, message);
    }
  });

  test(`a response ${what}: a loop throws that error`, async () => {
    const source = new FetchEventSource("http://a/", { fetch: async () => create() });
    await assert.rejects(source[Symbol.asyncIterator]().next(), { kind: "response" });
  });
}

for (const body of [null, "", new ReadableStream({ start: (controller) => controller.close() })]) {
  test(`a response with an empty body (${body}) opens and ends`, async (t) => {
    const { source, log } = open(t, "http://a/", {
      fetch: async () => new Response(body, { headers: HEADERS }),
      reconnect: "never",
    });
    await end(source);
    assert.deepEqual(log, [["open"], ["error", "end", false]]);
  });
}

test("a body whose read() is rejected: cut, with its cause", async (t) => {
  const reader = { ...READER, read: () => Promise.reject(new Error("torn")) };
  const fetch = async () => responseWith({ getReader: () => reader });
  const { source } = open(t, "http://a/", { fetch, reconnect: "never" });
  const { kind, error } = await end(source);
  assert.deepEqual([kind, error.cause.message], ["cut", "torn"]);
});

for (const [what, cancel] of Object.entries({
  throws: () => { throw new Error("cannot be cancelled"); },
  "is rejected": () => Promise.reject(new Error("cannot be cancelled")),
  "returns nothing": () => {},
})) {
  test(`a reader whose cancel() ${what} changes nothing`, async (t) => {
    const fetch = async () => responseWith({ getReader: () => ({ ...READER, cancel }) });
    assert.equal((await end(open(t, "http://a/", { fetch, reconnect: "never" }).source)).kind, "end");
  });
}

test("bytes of another realm are bytes", async (t) => {
  const bytes = runInNewContext("Uint8Array.from(text, (character) => character.charCodeAt(0))", { text: EVENT });
  const { source } = open(t, "http://a/", { fetch: async () => responseWith(ReadableStream.from([bytes])) });
  assert.equal((await next(source, "message")).data, "x");
});

for (const [what, create] of Object.entries({
  "is locked": () => ({ ...responseWith(lockedResponse().body), status: 500 }),
  "has no getReader": () => ({ ...responseWith({}), status: 500 }),
  "is missing": () => ({ ...responseWith(undefined), status: 500 }),
})) {
  test(`a refusal whose body ${what} is still a refusal`, async (t) => {
    const { kind, status, body } = await end(open(t, "http://a/", { fetch: async () => create() }).source);
    assert.deepEqual([kind, status, body], ["status", 500, ""]);
  });
}

test("a fetch function that throws instead of returning a promise: network", async (t) => {
  const fetch = () => { throw new Error("offline"); };
  const { kind, error } = await end(open(t, "http://a/", { fetch, reconnect: "never" }).source);
  assert.deepEqual([kind, error.cause.message], ["network", "offline"]);
});

for (const url of ["ftp://a/", "about:blank", "mailto:a@b.c", "javascript:alert(1)", "blob:nope", "ws://a/", "app://a/"]) {
  test(`${url} fails for good, in every mode`, async (t) => {
    for (const reconnect of ["native", "always", "on-error", "never"]) {
      const { source } = open(t, url, { reconnect });
      assert.equal(source.readyState, FetchEventSource.CONNECTING);
      const event = await end(source);
      assert.deepEqual([event.kind, event.willRetry, source.readyState], ["request", false, FetchEventSource.CLOSED]);
      assert.match(event.message, new RegExp(`^A ${url.split(":")[0]}: URL cannot be fetched`));
    }
  });
}

test("a fetch function may serve schemes of its own", async (t) => {
  const { source } = open(t, "app://local/stream", { fetch: async () => streamResponse(EVENT) });
  assert.equal((await next(source, "message")).data, "x");
});

test("a data: URL is read", async (t) => {
  const { source } = open(t, `data:text/event-stream,${encodeURIComponent(EVENT)}`);
  assert.equal((await next(source, "message")).data, "x");
});

test("a Request in place of the URL is a TypeError that says so", () => {
  assert.throws(() => new FetchEventSource(new Request("http://a/")), { name: "TypeError", message: /is a Request/ });
});

for (const [contentType, isEventStream] of [
  ["text/event-stream, text/event-stream", true],
  ["text/html, text/event-stream", true],
  ["text/event-stream, text/html", false],
  ["text/event-stream,", true],
  [",text/event-stream", true],
  ["text/event-stream, */*", true],
  ["text/event-stream, bogus", true],
  ["text/event-stream; charset=utf-8, TEXT/Event-Stream", true],
  ['text/html; x=", text/event-stream"', false],
  ['text/html; x="\\", text/event-stream"', false],
  ['text/html; x=",", text/event-stream', true],
  ['text/event-stream; x="', true],
  ["text/event-stream; charset=utf-8, text/plain; charset=utf-8", false],
  ["text/event-stream/x", false],
  ["text/event-streamx", false],
  ["text /event-stream", false],
  ['"text/event-stream"', false],
  ["text/event-stream;charset=windows-1251", true],
  ["*/*", false],
  ["", false],
]) {
  test(`Content-Type: ${contentType} ${isEventStream ? "is" : "is not"} an event stream`, async (t) => {
    const { url } = await serve(t, refuses(200, { "Content-Type": contentType }, EVENT));
    const { source } = open(t, url, { reconnect: "never" });
    assert.equal((await end(source)).kind, isEventStream ? "end" : "content-type");
  });
}

for (const [where, register] of Object.entries({
  open: (source, fail) => (source.onopen = fail),
  message: (source, fail) => (source.onmessage = fail),
  error: (source, fail) => (source.onerror = fail),
})) {
  test(`a handler for ${where} that throws is reported, and the stream continues`, async (t) => {
    const reported = [];
    const report = (error) => reported.push(error.message);
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", report);
    t.after(() => {
      process.off("uncaughtException", report);
      others.forEach((listener) => process.on("uncaughtException", listener));
    });
    const { source, log } = open(t, "http://a/", { fetch: async () => streamResponse(EVENT), reconnect: "never" });
    register(source, () => { throw new Error("thrown by a handler"); });
    await end(source);
    await new Promise(setImmediate);
    assert.deepEqual(log, [["open"], ["message", "x", ""], ["error", "end", false]]);
    assert.deepEqual(reported, ["thrown by a handler"]);
  });
}
