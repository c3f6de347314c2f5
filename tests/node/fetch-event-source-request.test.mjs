// FetchEventSource under node: the request.

import assert from "node:assert/strict";
import { test } from "node:test";

import { next, open, streamResponse, withoutJitter } from "./recorded-source.mjs";
import { ends, sends, serve } from "./scripted-server.mjs";

for (const [options, expected] of [
  [{}, "same-origin"],
  [{ withCredentials: true }, "include"],
  [{ credentials: "omit" }, "omit"],
]) {
  test(`credentials of ${JSON.stringify(options)}: ${expected}`, async (t) => {
    const sent = [];
    const fetch = async (url, init) => {
      sent.push(init.credentials);
      return streamResponse("data: x\n\n");
    };
    const { source } = open(t, "http://a/", { ...options, fetch });
    await next(source, "message");
    assert.deepEqual(sent, [expected]);
    assert.equal(source.withCredentials, expected === "include");
  });
}

test("a GET asks for an event stream that comes from no cache", async (t) => {
  const { url, requests } = await serve(t, sends("data: x\n\n"));
  await next(open(t, url).source, "message");
  const { method, headers } = requests[0];
  assert.deepEqual([method, headers.accept, headers["cache-control"]], ["GET", "text/event-stream", "no-cache"]);
  assert.equal(headers["last-event-id"], undefined);
});

test("a POST with a plain object sends JSON", async (t) => {
  const { url, requests } = await serve(t, sends("data: x\n\n"));
  await next(open(t, url, { method: "POST", body: { model: "é" } }).source, "message");
  assert.equal(requests[0].method, "POST");
  assert.equal(requests[0].headers["content-type"], "application/json");
  assert.equal(await requests[0].body, '{"model":"é"}');
});

for (const [name, body, contentType, text] of [
  ["a string", "x", "text/plain;charset=UTF-8", "x"],
  ["URLSearchParams", new URLSearchParams({ a: "1" }), "application/x-www-form-urlencoded;charset=UTF-8", "a=1"],
  ["a Blob", new Blob(["x"], { type: "text/x" }), "text/x", "x"],
  ["an array", [1], "application/json", "[1]"],
]) {
  test(`${name} is sent as ${contentType}`, async (t) => {
    const { url, requests } = await serve(t, sends("data: x\n\n"));
    await next(open(t, url, { method: "POST", body }).source, "message");
    assert.deepEqual([requests[0].headers["content-type"], await requests[0].body], [contentType, text]);
  });
}

test("the caller's headers replace the default ones", async (t) => {
  const { url, requests } = await serve(t, sends("data: x\n\n"));
  const headers = { Authorization: "Bearer key", Accept: "*/*", "Content-Type": "application/vnd.x+json" };
  await next(open(t, url, { method: "POST", headers, body: {} }).source, "message");
  const sent = requests[0].headers;
  assert.deepEqual([sent.authorization, sent.accept, sent["content-type"]], Object.values(headers));
});

test("functions for headers and body are called for every connection", async (t) => {
  withoutJitter(t);
  const { url, requests } = await serve(t, ends("data: 1\n\n"), sends("data: 2\n\n"));
  let calls = 0;
  const headers = async () => ({ Authorization: `Bearer ${(calls += 1)}` });
  const body = () => ({ call: calls });
  const { source } = open(t, url, { method: "POST", headers, body, reconnect: "always" });
  await next(source, "error");
  await next(source, "message");
  assert.deepEqual(requests.map((request) => request.headers.authorization), ["Bearer 1", "Bearer 2"]);
  assert.deepEqual(await Promise.all(requests.map((request) => request.body)), ['{"call":1}', '{"call":2}']);
});

test("lastEventId is sent with the first request, in UTF-8", async (t) => {
  const { url, requests } = await serve(t, sends("data: x\n\n"));
  const { source } = open(t, url, { lastEventId: "7 é😀" });
  const event = await next(source, "message");
  assert.equal(Buffer.from(requests[0].headers["last-event-id"], "latin1").toString("utf8"), "7 é😀");
  assert.equal(event.lastEventId, "7 é😀");
});

test("after an empty id no Last-Event-ID is sent", async (t) => {
  withoutJitter(t);
  const { url, requests } = await serve(t, ends("id: 1\ndata: 1\n\nid:\ndata: 2\n\n"), sends("data: 3\n\n"));
  const { source } = open(t, url);
  await next(source, "error");
  await next(source, "message");
  assert.equal("last-event-id" in requests[1].headers, false);
});
