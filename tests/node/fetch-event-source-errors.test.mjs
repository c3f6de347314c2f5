// FetchEventSource under node: the ends of a connection.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";

import { FetchEventSource, FetchEventSourceError } from "../../static/js/fetch-event-source/fetch-event-source.js";
import { end, endlessBody, next, open, streamResponse } from "./recorded-source.mjs";
import { breaks, ends, refuses, sends, serve } from "./scripted-server.mjs";

const POST = { method: "POST", body: { question: "Why?" } };
const HTML = "<h1>Bad gateway</h1>";

/** Returns the URL of a port without a listener. */
async function closedPort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}/`;
}

test("a server that cannot be reached: network", async (t) => {
  const { source } = open(t, await closedPort(), POST);
  const { kind, status, headers, body, error } = await end(source);
  assert.deepEqual([kind, status, headers, body], ["network", null, null, null]);
  assert.ok(error.cause instanceof TypeError);
});

test("a refusal: status, with the answer's headers and body", async (t) => {
  const { url } = await serve(t, refuses(429, { "X-Reason": "quota" }, '{"error": {}}'));
  const { kind, status, headers, body } = await end(open(t, url, POST).source);
  assert.deepEqual([kind, status, headers.get("X-Reason"), body], ["status", 429, "quota", '{"error": {}}']);
});

test("no more than 64 KiB of a refusal's body are read", async (t) => {
  let pulls = 0;
  const pull = (controller) => controller.enqueue(Buffer.alloc(1024, (pulls += 1) && "x"));
  const body = new ReadableStream({ pull }, { highWaterMark: 0 });
  const { source } = open(t, "http://a/", { fetch: async () => new Response(body, { status: 500 }) });
  assert.equal((await end(source)).body, "x".repeat(64 * 1024));
  assert.equal(pulls, 64);
});

test("a refusal whose body breaks off has the part that arrived", async (t) => {
  const { url, requests } = await serve(t, (response) => {
    response.writeHead(500);
    response.write("partly", () => response.socket.end());
  });
  const { kind, status, body } = await end(open(t, url, POST).source);
  assert.deepEqual([kind, status, body], ["status", 500, "partly"]);
  await requests[0].closed;
});

test("a refusal whose body never ends is a refusal after two seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const body = endlessBody("forever");
  const { source } = open(t, "http://a/", { fetch: async () => new Response(body.stream, { status: 500 }) });
  await body.whenWaiting;
  t.mock.timers.tick(2000);
  const error = await end(source);
  assert.deepEqual([error.status, error.body, body.isCancelled], [500, "forever", true]);
});

test("204: no-content", async (t) => {
  const { url } = await serve(t, refuses(204));
  const { kind, status } = await end(open(t, url).source);
  assert.deepEqual([kind, status], ["no-content", 204]);
});

for (const [contentType, body] of [
  ["text/html", HTML],
  ["application/json", '{"choices": []}'],
]) {
  test(`200 with ${contentType}: content-type, with the body`, async (t) => {
    const { url } = await serve(t, refuses(200, { "Content-Type": contentType }, body));
    const error = await end(open(t, url, POST).source);
    assert.deepEqual([error.kind, error.status, error.body], ["content-type", 200, body]);
    assert.match(error.message, new RegExp(contentType));
  });
}

for (const contentType of ["text/event-stream", "Text/Event-Stream", "text/event-stream; charset=utf-8"]) {
  test(`200 with ${contentType} opens`, async (t) => {
    const { url } = await serve(t, refuses(200, { "Content-Type": contentType }, "data: x\n\n"));
    await next(open(t, url, POST).source, "message");
  });
}

test("a connection that breaks: cut", async (t) => {
  const { url } = await serve(t, breaks("data: 1\n\ndata: 2\n"));
  const { source, log } = open(t, url, POST);
  assert.equal((await end(source)).status, 200);
  assert.deepEqual(log.at(-1), ["error", "cut", false]);
  assert.equal(log.some(([, data]) => data === "2"), false);
});

test("a body that ends properly: end, since the answer may be incomplete", async (t) => {
  const { url } = await serve(t, ends("data: 1\n\n"));
  const { source, log } = open(t, url, POST);
  await end(source);
  assert.deepEqual(log, [["open"], ["message", "1", ""], ["error", "end", false]]);
});

test("a body that ends properly in the middle of an event: cut", async (t) => {
  const { url } = await serve(t, ends("data: 1\n\ndata: 2\n"));
  assert.equal((await end(open(t, url, POST).source)).kind, "cut");
});

test("after close() at the terminal event no error follows", async (t) => {
  const { url, requests } = await serve(t, ends("data: 1\n\ndata: [DONE]\n\n"));
  const { source, log } = open(t, url, POST);
  source.onmessage = ({ data }) => data === "[DONE]" && source.close();
  await next(source, "open");
  await requests[0].closed;
  await new Promise(setImmediate);
  assert.deepEqual(log, [["open"], ["message", "1", ""], ["message", "[DONE]", ""]]);
});

test("silence before the headers: idle", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const signals = [];
  const fetch = (url, { signal }) => {
    signals.push(signal);
    return new Promise(() => {});
  };
  const { source } = open(t, "http://a/", { fetch, idleTimeout: 100, reconnect: "never" });
  await new Promise(setImmediate);
  t.mock.timers.tick(100);
  assert.equal((await end(source)).kind, "idle");
  assert.equal(signals[0].aborted, true);
});

test("silence in the stream: idle", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const body = endlessBody("data: 1\n\n");
  const fetch = async () => streamResponse(body.stream);
  const { source, log } = open(t, "http://a/", { fetch, idleTimeout: 100, reconnect: "never" });
  await body.whenWaiting;
  t.mock.timers.tick(100);
  await end(source);
  assert.deepEqual(log, [["open"], ["message", "1", ""], ["error", "idle", false]]);
  assert.equal(body.isCancelled, true);
});

test("any byte resets the idle timer, also that of a comment", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const body = endlessBody(":");
  const { source, log } = open(t, "http://a/", { fetch: async () => streamResponse(body.stream), idleTimeout: 100 });
  await body.whenWaiting;
  for (let sent = 0; sent < 5; sent += 1) {
    t.mock.timers.tick(99);
    body.send(":");
    await new Promise(setImmediate);
  }
  assert.deepEqual(log, [["open"]]);
  t.mock.timers.tick(100);
  await next(source, "error");
  assert.deepEqual(log, [["open"], ["error", "idle", true]]);
});

test("an event over maxEventSize: too-large, and the connection is closed", async (t) => {
  const { url, requests } = await serve(t, sends("data: 1\n\n", "data: ", "x".repeat(200)));
  const { source, log } = open(t, url, { maxEventSize: 100 });
  await end(source);
  assert.deepEqual(log, [["open"], ["message", "1", ""], ["error", "too-large", false]]);
  await requests[0].closed;
});

for (const [what, options] of [
  ["headers", { headers: () => Promise.reject(new Error("no token")) }],
  ["body", { method: "POST", body: () => { throw new Error("no token"); } }],
]) {
  test(`a function for ${what} that fails: request, with its cause`, async (t) => {
    const { kind, message, error } = await end(open(t, "http://a/", { ...options, reconnect: "always" }).source);
    assert.deepEqual([kind, error.cause.message], ["request", "no token"]);
    assert.match(message, /no token/);
  });
}

test("the error itself is on the event", async (t) => {
  const { url } = await serve(t, refuses(404));
  const event = await end(open(t, url).source);
  assert.ok(event.error instanceof FetchEventSourceError);
  for (const name of ["kind", "status", "headers", "body", "willRetry", "attempt", "delay", "message"]) {
    assert.equal(event[name], event.error[name]);
  }
});
