// FetchEventSource under node: what follows the end of a connection.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FetchEventSource } from "../../static/js/fetch-event-source/fetch-event-source.js";
import { bodyOf, end, next, open, streamResponse, withoutJitter } from "./recorded-source.mjs";
import { ends, refuses, sends, serve } from "./scripted-server.mjs";

const POST = { method: "POST", body: { question: "Why?" } };

for (const [name, answer] of [
  ["a refusal", () => new Response("", { status: 503 })],
  ["a connection that breaks", () => streamResponse(bodyOf([Buffer.from("data: 1\n\n")], new TypeError("broken")))],
  ["a body that ends", () => streamResponse("data: 1\n\n")],
  ["no answer", () => Promise.reject(new TypeError("unreachable"))],
]) {
  test(`a POST is not repeated after ${name}`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const fetch = t.mock.fn(async () => answer());
    const { source } = open(t, "http://a/", { ...POST, fetch });
    const { willRetry, attempt, delay } = await next(source, "error");
    assert.deepEqual([willRetry, attempt, delay], [false, 1, null]);
    assert.equal(source.readyState, FetchEventSource.CLOSED);
    t.mock.timers.tick(1_000_000);
    await new Promise(setImmediate);
    assert.equal(fetch.mock.callCount(), 1);
  });
}

test("a GET reconnects after a body that ended, with the last event id", async (t) => {
  withoutJitter(t);
  const { url, requests } = await serve(t, ends("retry: 5\nid: 1\ndata: 1\n\n"), sends("data: 2\n\n"));
  const { source, log } = open(t, url);
  const { willRetry, attempt, delay } = await next(source, "error");
  assert.deepEqual([willRetry, attempt, delay], [true, 1, 5]);
  assert.equal(source.readyState, FetchEventSource.CONNECTING);
  await next(source, "message");
  assert.equal(requests[1].headers["last-event-id"], "1");
  assert.deepEqual(log, [["open"], ["message", "1", "1"], ["error", "end", true], ["open"], ["message", "2", "1"]]);
});

test("a stream that breaks at any byte is continued without gap or repetition", async (t) => {
  withoutJitter(t);
  const events = ["é", "😀", "c"].map((data, index) => Buffer.from(`id: ${index + 1}\ndata: ${data}\n\n`));
  const length = Buffer.concat(events).length;
  for (let cut = 0; cut < length; cut += 1) {
    const broken = bodyOf([Buffer.concat(events).subarray(0, cut)], new TypeError("broken"));
    const fetch = async (url, { headers }) => {
      const seen = Number(headers.get("Last-Event-ID") ?? 0);
      return streamResponse(fetch.called ? bodyOf(events.slice(seen)) : ((fetch.called = true), broken));
    };
    const { source, log } = open(t, "http://a/", { fetch, reconnect: "on-error" });
    await end(source);
    const data = log.filter(([type]) => type === "message").map(([, text]) => text);
    assert.deepEqual(data, ["é", "😀", "c"], `cut at ${cut}`);
  }
});

test("the source waits for the Retry-After of a refusal", async (t) => {
  withoutJitter(t);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const fetch = t.mock.fn(async () => new Response("", { status: 503, headers: { "Retry-After": "2" } }));
  const { source } = open(t, "http://a/", { fetch, reconnect: "always" });
  const { willRetry, delay } = await next(source, "error");
  assert.deepEqual([willRetry, delay], [true, 2000]);
  for (const [milliseconds, expectedCalls] of [[1999, 1], [1, 2]]) {
    t.mock.timers.tick(milliseconds);
    await new Promise(setImmediate);
    assert.equal(fetch.mock.callCount(), expectedCalls);
  }
});

test("the delay grows with every failure, and an event resets it", async (t) => {
  t.mock.method(Math, "random", () => 0.25);
  const { url } = await serve(
    t,
    ends("retry: 0\n\n"),
    ends(": nothing yet\n\n"),
    ends(""),
    ends("data: x\n\n"),
  );
  const { source } = open(t, url);
  const delays = [];
  while (delays.length < 4) {
    const { attempt, delay } = await next(source, "error");
    delays.push([attempt, delay]);
  }
  assert.deepEqual(delays, [[1, 25], [2, 50], [3, 100], [1, 25]]);
});

test("maxRetries limits the reconnections", async (t) => {
  withoutJitter(t);
  const { url, requests } = await serve(t, refuses(503));
  const { attempt, willRetry } = await end(open(t, url, { reconnect: "always", maxRetries: 2 }).source);
  assert.deepEqual([attempt, willRetry, requests.length], [3, false, 3]);
});

test("204 at a reconnection closes the source", async (t) => {
  withoutJitter(t);
  const { url } = await serve(t, ends("id: 1\ndata: 1\n\n"), refuses(204));
  const { source, log } = open(t, url);
  await end(source);
  assert.deepEqual(log.slice(2), [["error", "end", true], ["error", "no-content", false]]);
});

test("close() in onerror prevents the reconnection", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const fetch = t.mock.fn(async () => streamResponse("data: 1\n\n"));
  const { source } = open(t, "http://a/", { fetch });
  source.onerror = () => source.close();
  assert.equal((await next(source, "error")).willRetry, true);
  t.mock.timers.tick(1_000_000);
  await new Promise(setImmediate);
  assert.equal(source.readyState, FetchEventSource.CLOSED);
  assert.equal(fetch.mock.callCount(), 1);
});
