// FetchEventSource under node: for await.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FetchEventSource, FetchEventSourceError } from "../../static/js/fetch-event-source/fetch-event-source.js";
import { bodyOf, next, open, streamResponse, withoutJitter } from "./recorded-source.mjs";
import { breaks, ends, refuses, sends, serve } from "./scripted-server.mjs";

const POST = { method: "POST", body: {} };

/** Returns what a loop gets, and what it throws. */
async function iterate(source) {
  const items = [];
  try {
    for await (const { type, data } of source) {
      items.push([type, data]);
    }
    return { items, thrown: null };
  } catch (error) {
    return { items, thrown: error };
  }
}

test("the loop gets every event, whatever its name", async (t) => {
  const { url } = await serve(t, ends("data: 1\n\nevent: tick\ndata: 2\n\nevent: error\ndata: 3\n\n"));
  const { items, thrown } = await iterate(open(t, url, POST).source);
  assert.deepEqual(items, [["message", "1"], ["tick", "2"], ["error", "3"]]);
  assert.equal(thrown, null);
});

test("leaving the loop closes the connection", async (t) => {
  const { url, requests } = await serve(t, sends("data: 1\n\ndata: 2\n\n"));
  const { source } = open(t, url);
  for await (const { data } of source) {
    assert.equal(data, "1");
    break;
  }
  assert.equal(source.readyState, FetchEventSource.CLOSED);
  await requests[0].closed;
});

test("close() in the loop ends it, and drops the queued events", async (t) => {
  const { url } = await serve(t, sends("data: 1\n\ndata: 2\n\n"));
  const { source } = open(t, url);
  const seen = [];
  for await (const { data } of source) {
    seen.push(data);
    source.close();
  }
  assert.deepEqual(seen, ["1"]);
});

for (const [name, answer, kind] of [
  ["breaks", breaks("data: 1\n\n"), "cut"],
  ["ends in the middle of an event", ends("data: 1\n\ndata: 2"), "cut"],
]) {
  test(`a stream that ${name} is thrown after its events`, async (t) => {
    const { url } = await serve(t, answer);
    const { items, thrown } = await iterate(open(t, url, POST).source);
    assert.deepEqual(items, [["message", "1"]]);
    assert.ok(thrown instanceof FetchEventSourceError);
    assert.deepEqual([thrown.kind, thrown.status, thrown.willRetry], [kind, 200, false]);
  });
}

test("a refusal is thrown", async (t) => {
  const { url } = await serve(t, refuses(404, {}, "not here"));
  const { thrown } = await iterate(open(t, url).source);
  assert.deepEqual([thrown.kind, thrown.status, thrown.body], ["status", 404, "not here"]);
});

test("204 ends the loop", async (t) => {
  const { url } = await serve(t, refuses(204));
  assert.deepEqual(await iterate(open(t, url).source), { items: [], thrown: null });
});

test("the loop continues over reconnections", async (t) => {
  withoutJitter(t);
  const { url } = await serve(t, breaks("data: 1\n\n"), ends("data: 2\n\n"));
  const { items, thrown } = await iterate(open(t, url, { reconnect: "on-error" }).source);
  assert.deepEqual(items, [["message", "1"], ["message", "2"]]);
  assert.equal(thrown, null);
});

test("an aborted signal ends the loop", async (t) => {
  const { url } = await serve(t, sends("data: 1\n\n"));
  const controller = new AbortController();
  const { source } = open(t, url, { signal: controller.signal });
  source.onmessage = () => setImmediate(() => controller.abort());
  assert.deepEqual(await iterate(source), { items: [["message", "1"]], thrown: null });
});

test("a source that has failed throws its error in every loop", async (t) => {
  const { url } = await serve(t, refuses(404));
  const { source } = open(t, url);
  await next(source, "error");
  for (let time = 0; time < 2; time += 1) {
    assert.equal((await iterate(source)).thrown?.status, 404);
  }
});

test("a closed source yields no events", async (t) => {
  const { source } = open(t, "http://a/", { signal: AbortSignal.abort() });
  assert.deepEqual(await iterate(source), { items: [], thrown: null });
});

test("a loop whose body is busy applies back-pressure", async (t) => {
  let pulled = 0;
  const body = new ReadableStream(
    {
      pull(controller) {
        pulled += 1;
        controller.enqueue(Buffer.from("data: x\n\n"));
      },
    },
    { highWaterMark: 0 },
  );
  const { source } = open(t, "http://a/", { fetch: async () => streamResponse(body) });
  let taken = 0;
  for await (const _ of source) {
    taken += 1;
    await new Promise(setImmediate);
    assert.ok(pulled <= taken + 1, `${pulled} chunks were read for ${taken} events`);
    if (taken === 5) {
      break;
    }
  }
});

test("two loops get the same events", async (t) => {
  const body = bodyOf(["data: 1\n\n", "data: 2\n\n"].map((text) => Buffer.from(text)));
  const { source } = open(t, "http://a/", { fetch: async () => streamResponse(body), reconnect: "never" });
  const [one, two] = await Promise.all([iterate(source), iterate(source)]);
  assert.deepEqual(one, { items: [["message", "1"], ["message", "2"]], thrown: null });
  assert.deepEqual(two, one);
});
