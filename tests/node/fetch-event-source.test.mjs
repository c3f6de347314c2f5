// FetchEventSource under node: events, the interface of EventSource, and close().

import assert from "node:assert/strict";
import { test } from "node:test";

import { FetchEventSource } from "../../static/js/fetch-event-source/fetch-event-source.js";
import { bodyOf, end, endlessBody, next, open, streamResponse, withoutJitter } from "./recorded-source.mjs";
import { ends, sends, serve } from "./scripted-server.mjs";

const STREAM = "\uFEFFretry: 0\nid: 1\ndata: é😀\n\n: c\n\nevent: x\r\ndata: b\r\ndata: ü\r\n\r\nid: 3\n\ndata: c\n\n";
const STREAM_EVENTS = [
  ["open"],
  ["message", "é😀", "1"],
  ["x", "b\nü", "1"],
  ["message", "c", "3"],
];

// Events

test("a stream that arrives byte by byte is dispatched completely", async (t) => {
  const bytes = Array.from(Buffer.from(STREAM), (byte) => Uint8Array.of(byte));
  const { url } = await serve(t, ends(...bytes));
  const { source, log } = open(t, url, { reconnect: "never" }, ["x"]);
  await end(source);
  assert.deepEqual(log, [...STREAM_EVENTS, ["error", "end", false]]);
});

test("a stream that is split in two anywhere is dispatched completely", async (t) => {
  const bytes = Buffer.from(STREAM);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const body = bodyOf([bytes.subarray(0, cut), bytes.subarray(cut)]);
    const { source, log } = open(t, "http://a/", { fetch: async () => streamResponse(body), reconnect: "never" }, ["x"]);
    await end(source);
    assert.deepEqual(log, [...STREAM_EVENTS, ["error", "end", false]], `cut at ${cut}`);
  }
});

test("an event has data, last event id and the origin of the server", async (t) => {
  const { url } = await serve(t, sends("id: 7\ndata: x\n\n"));
  const event = await next(open(t, url).source, "message");
  assert.ok(event instanceof MessageEvent);
  assert.deepEqual([event.data, event.lastEventId, event.origin], ["x", "7", new URL(url).origin]);
});

test("listeners of a name get the events of that name only", async (t) => {
  const { url } = await serve(t, sends("event: tick\ndata: 1\n\ndata: 2\n\n"));
  const { source, log } = open(t, url, {}, ["tick"]);
  await next(source, "message");
  assert.deepEqual(log, [["open"], ["tick", "1", ""], ["message", "2", ""]]);
});

test("an event that the server named error is a message at onerror, and closes nothing", async (t) => {
  const { url } = await serve(t, sends("event: error\ndata: why\n\ndata: more\n\n"));
  const { source } = open(t, url);
  const seen = [];
  source.onerror = (event) => seen.push([event instanceof MessageEvent, event.data, event.kind]);
  await next(source, "message");
  assert.deepEqual(seen, [[true, "why", undefined]]);
  assert.equal(source.readyState, FetchEventSource.OPEN);
});

test("close() in a listener stops the rest of the chunk", async (t) => {
  const { url, requests } = await serve(t, sends("id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n"));
  const { source, log } = open(t, url);
  source.onmessage = () => source.close();
  await next(source, "message");
  await requests[0].closed;
  assert.deepEqual(log, [["open"], ["message", "1", "1"]]);
  assert.equal(source.lastEventId, "1");
});

test("after close() in onopen no event is dispatched", async (t) => {
  const { url, requests } = await serve(t, sends("data: 1\n\n"));
  const { source, log } = open(t, url);
  source.onopen = () => source.close();
  await next(source, "open");
  await requests[0].closed;
  assert.deepEqual(log, [["open"]]);
});

test("close() in onopen cancels the body of a fetch function that ignores its signal", async (t) => {
  const body = endlessBody("");
  const { source } = open(t, "http://a/", { fetch: async () => streamResponse(body.stream) });
  source.onopen = () => source.close();
  await next(source, "open");
  await new Promise(setImmediate);
  assert.equal(body.isCancelled, true);
});

test("the id of an event without data is the last event id", async (t) => {
  withoutJitter(t);
  const { url, requests } = await serve(t, ends("data: 1\n\nid: 7\n\n"), sends("data: 2\n\n"));
  const { source, log } = open(t, url);
  await next(source, "error");
  assert.equal(source.lastEventId, "7");
  await next(source, "message");
  assert.equal(requests[1].headers["last-event-id"], "7");
  assert.deepEqual(log.at(-1), ["message", "2", "7"]);
});

// The interface of EventSource

test("the states have their numbers, on the class and on its instances", (t) => {
  const { source } = open(t, "http://a/", { signal: AbortSignal.abort() });
  for (const owner of [FetchEventSource, source]) {
    assert.deepEqual([owner.CONNECTING, owner.OPEN, owner.CLOSED], [0, 1, 2]);
  }
});

test("readyState goes from CONNECTING to OPEN to CLOSED", async (t) => {
  const { url } = await serve(t, sends("data: x\n\n"));
  const { source } = open(t, url);
  assert.equal(source.readyState, FetchEventSource.CONNECTING);
  await next(source, "open");
  assert.equal(source.readyState, FetchEventSource.OPEN);
  source.close();
  assert.equal(source.readyState, FetchEventSource.CLOSED);
});

test("a handler can be replaced and removed, and is called on the source", async (t) => {
  const { url } = await serve(t, sends("data: 1\n\ndata: 2\n\ndata: 3\n\n"));
  const { source } = open(t, url);
  const seen = [];
  source.onmessage = () => assert.fail("this handler was replaced");
  source.onmessage = function (event) {
    seen.push([this === source, event.data]);
    source.onmessage = null;
  };
  source.addEventListener("message", ({ data }) => data === "3" && source.dispatchEvent(new Event("third")));
  await next(source, "third");
  assert.deepEqual(seen, [[true, "1"]]);
  assert.equal(source.onmessage, null);
});

test("a value that is not a function is not a handler", (t) => {
  const { source } = open(t, "http://a/", { signal: AbortSignal.abort() });
  source.onmessage = "alert()";
  assert.equal(source.onmessage, null);
});

test("url is that of the request, resolved", (t) => {
  const { source } = open(t, "http://a/b/../c d", { signal: AbortSignal.abort() });
  assert.equal(source.url, "http://a/c%20d");
});

test("a URL that is not valid is a SyntaxError, as with EventSource", () => {
  assert.throws(() => new FetchEventSource("http://this is invalid/"), { name: "SyntaxError" });
});

for (const [options, message] of [
  [{ method: "NOT ALLOWED" }, /NOT ALLOWED/],
  [{ body: "x" }, /a GET request has no body/],
  [{ reconnect: "often" }, /reconnect is "often"/],
]) {
  test(`${JSON.stringify(options)} is refused by the constructor`, () => {
    assert.throws(() => new FetchEventSource("http://a/", options), { name: "TypeError", message });
  });
}

// close()

test("close() ends the connection, and no event follows", async (t) => {
  const { url, requests } = await serve(t, sends("data: x\n\n"));
  const { source, log } = open(t, url);
  await next(source, "message");
  source.close();
  await requests[0].closed;
  assert.deepEqual(log, [["open"], ["message", "x", ""]]);
});

test("a source that is closed at once sends no request", async (t) => {
  const fetch = t.mock.fn();
  const { source } = open(t, "http://a/", { fetch });
  source.close();
  await new Promise(setImmediate);
  assert.equal(fetch.mock.callCount(), 0);
});

test("a source that is closed while its headers are made sends no request", async (t) => {
  const fetch = t.mock.fn();
  const headers = async () => {
    source.close();
    return {};
  };
  const { source } = open(t, "http://a/", { fetch, headers });
  await new Promise(setImmediate);
  assert.equal(fetch.mock.callCount(), 0);
});

test("aborting the signal has the effect of close()", async (t) => {
  const { url, requests } = await serve(t, sends("data: x\n\n"));
  const controller = new AbortController();
  const { source, log } = open(t, url, { signal: controller.signal });
  await next(source, "message");
  controller.abort();
  await requests[0].closed;
  assert.equal(source.readyState, FetchEventSource.CLOSED);
  assert.deepEqual(log, [["open"], ["message", "x", ""]]);
});

test("a signal that is already aborted prevents the request", async (t) => {
  const fetch = t.mock.fn();
  const { source } = open(t, "http://a/", { fetch, signal: AbortSignal.abort() });
  await new Promise(setImmediate);
  assert.equal(source.readyState, FetchEventSource.CLOSED);
  assert.equal(fetch.mock.callCount(), 0);
});

test("close() while it waits to reconnect sends no further request", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const fetch = t.mock.fn(async () => new Response("", { status: 503 }));
  const { source } = open(t, "http://a/", { fetch, reconnect: "always" });
  await next(source, "error");
  source.close();
  t.mock.timers.tick(1_000_000);
  await new Promise(setImmediate);
  assert.equal(fetch.mock.callCount(), 1);
});

test("close() while it waits to reconnect leaves no timer behind", async (t) => {
  const fetch = async () => new Response("", { status: 503, headers: { "Retry-After": "3600" } });
  const { source } = open(t, "http://a/", { fetch, reconnect: "always" });
  await next(source, "error");
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  await new Promise(setImmediate);
  const before = timers();
  source.close();
  assert.equal(timers(), before - 1);
});
