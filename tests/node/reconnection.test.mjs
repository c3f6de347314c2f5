// Whether a FetchEventSource reconnects, and when.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FetchEventSourceError } from "../../static/js/fetch-event-source/fetch-event-source-error.js";
import { Reconnection, parseRetryAfter } from "../../static/js/fetch-event-source/reconnection.js";

const NOW = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");

function errorOf(kind, { status = null, retryAfter } = {}) {
  const headers = new Headers(retryAfter === undefined ? {} : { "Retry-After": retryAfter });
  return new FetchEventSourceError(kind, "", { status, headers });
}

/** Passes the errors to the Reconnection, one after the other. */
function decide(reconnection, ...errors) {
  errors.forEach((error) => reconnection.decide(error));
  return errors;
}

/** Makes the random part of every delay this share of its window. */
function drawAlways(t, part) {
  t.mock.method(Math, "random", () => part);
}

const REPEATABLE = {
  native: ["network", "cut", "idle", "suspended", "end"],
  always: ["network", "cut", "idle", "suspended", "end", 429, 502, 503, 504],
  "on-error": ["network", "cut", "idle", "suspended", 429, 502, 503, 504],
  never: [],
};
const KINDS = ["network", "no-content", "content-type", "cut", "end", "idle", "too-large", "suspended", "request"];
const STATUSES = [400, 401, 404, 410, 429, 500, 502, 503, 504];

for (const [mode, repeatable] of Object.entries(REPEATABLE)) {
  test(`"${mode}" reconnects after ${repeatable.join(", ") || "nothing"}`, () => {
    const ends = [...KINDS, ...STATUSES].filter((end) => {
      const error = typeof end === "string" ? errorOf(end) : errorOf("status", { status: end });
      return decide(new Reconnection(mode, Infinity), error)[0].willRetry;
    });
    assert.deepEqual(new Set(ends), new Set(repeatable));
  });
}

test("an unknown mode is refused with the list of modes", () => {
  const words = /reconnect is "often"; it must be one of native, always, on-error, never/;
  assert.throws(() => new Reconnection("often", 0), words);
});

test("the window of the delay doubles from one second up to thirty", (t) => {
  drawAlways(t, 1);
  const errors = Array.from({ length: 7 }, () => errorOf("network"));
  const delays = decide(new Reconnection("always", Infinity), ...errors).map((error) => error.delay);
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("the delay is a random part of its window", (t) => {
  for (const part of [0, 0.25]) {
    drawAlways(t, part);
    const [error] = decide(new Reconnection("always", Infinity), errorOf("network"));
    assert.equal(error.delay, part * 1000);
  }
});

test("an event resets the delays", (t) => {
  drawAlways(t, 1);
  const reconnection = new Reconnection("always", Infinity);
  decide(reconnection, errorOf("network"), errorOf("network"));
  reconnection.succeed();
  const [error] = decide(reconnection, errorOf("network"));
  assert.deepEqual([error.attempt, error.delay], [1, 1000]);
});

test("the server's retry: is the least delay, and the first window on top of it", (t) => {
  const reconnection = new Reconnection("always", Infinity);
  reconnection.retry = 5000;
  drawAlways(t, 0);
  assert.equal(decide(reconnection, errorOf("end"))[0].delay, 5000);
  drawAlways(t, 1);
  assert.equal(decide(reconnection, errorOf("end"))[0].delay, 5000 + 2 * 5000);
});

test("retry: 0 does not make a busy loop", (t) => {
  drawAlways(t, 0.5);
  const reconnection = new Reconnection("always", Infinity);
  reconnection.retry = 0;
  assert.equal(decide(reconnection, errorOf("end"))[0].delay, 50);
});

for (const value of [10 ** 12, Infinity]) {
  test(`retry: ${value} is the longest timer that there is`, () => {
    const reconnection = new Reconnection("always", Infinity);
    reconnection.retry = value;
    assert.equal(decide(reconnection, errorOf("end"))[0].delay, 2 ** 31 - 1);
  });
}

for (const status of [429, 503]) {
  test(`Retry-After of a ${status} is the least delay`, (t) => {
    drawAlways(t, 0);
    const [error] = decide(new Reconnection("always", Infinity), errorOf("status", { status, retryAfter: "7" }));
    assert.equal(error.delay, 7000);
  });
}

for (const [value, milliseconds] of [
  ["0", 0],
  ["120", 120_000],
  ["Wed, 21 Oct 2026 07:28:30 GMT", 30_000],
  ["Wed, 21 Oct 2026 07:27:30 GMT", 0],
  ["Someday GMT", 0],
  ["soon", 0],
  ["1.5", 0],
  ["-1", 0],
  ["", 0],
]) {
  test(`Retry-After ${JSON.stringify(value)} is ${milliseconds} ms`, (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: NOW });
    assert.equal(parseRetryAfter(value), milliseconds);
  });
}

test("maxRetries is the most that is tried in a row", () => {
  const errors = decide(new Reconnection("always", 2), errorOf("network"), errorOf("cut"), errorOf("idle"));
  assert.deepEqual(errors.map((error) => error.willRetry), [true, true, false]);
  assert.deepEqual(errors.map((error) => error.attempt), [1, 2, 3]);
  assert.equal(errors[2].delay, null);
});

test("after an event there are as many tries again", () => {
  const reconnection = new Reconnection("always", 1);
  decide(reconnection, errorOf("network"));
  reconnection.succeed();
  assert.equal(decide(reconnection, errorOf("network"))[0].willRetry, true);
});

test("the back/forward cache is not a failure: the source reconnects at once, and does not count it", () => {
  const reconnection = new Reconnection("native", 1);
  const [, suspended, , second] = decide(
    reconnection,
    errorOf("suspended"),
    errorOf("suspended"),
    errorOf("network"),
    errorOf("network"),
  );
  assert.deepEqual([suspended.willRetry, suspended.delay], [true, 0]);
  assert.equal(second.willRetry, false);
});
