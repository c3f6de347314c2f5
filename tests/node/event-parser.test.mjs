// The browser's parser, under node.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { EventParser, EventTooLargeError } from "../../static/js/fetch-event-source/event-parser.js";

const { vectors } = JSON.parse(readFileSync(new URL("../unit/parser-vectors.json", import.meta.url), "utf8"));

const bytesOf = (text) => new TextEncoder().encode(text);

function parse(chunks, options = {}) {
  const events = [];
  const comments = [];
  const parser = new EventParser({
    onEvent: (event) => events.push(event),
    onComment: (comment) => comments.push(comment),
    ...options,
  });
  chunks.forEach((chunk) => parser.feed(chunk));
  return { events, comments, last_event_id: parser.lastEventId, retry: parser.retry };
}

const whole = (chunks) => [Buffer.concat(chunks)];

const CUTS = {
  "as given": (chunks) => chunks,
  whole,
  "byte by byte": (chunks) => Array.from(Buffer.concat(chunks), (byte) => Uint8Array.of(byte)),
};

for (const [name, cut] of Object.entries(CUTS)) {
  test(`the vectors are parsed as expected, ${name}`, () => {
    for (const vector of vectors) {
      const chunks = cut(vector.chunks_b64.map((chunk) => Buffer.from(chunk, "base64")));
      const actual = parse(chunks);
      // Most vectors are not about comments and do not list theirs.
      const { expected: events, comments = actual.comments, final } = vector;
      assert.deepEqual(actual, { events, comments, ...final }, vector.name);
    }
  });
}

test("a text that looks like an event, but continues a line, is not one", () => {
  for (const beginning of ["x", ": ", "data"]) {
    const { events } = parse([bytesOf(beginning), bytesOf("data: no\n\ndata: yes\n\n")]);
    assert.deepEqual(events.map(({ data }) => data), ["yes"], beginning);
  }
});

test("with onLine the parser gives the same events", () => {
  for (const vector of vectors) {
    const chunks = vector.chunks_b64.map((chunk) => Buffer.from(chunk, "base64"));
    assert.deepEqual(parse(chunks, { onLine: () => {} }), parse(chunks), vector.name);
  }
});

test("onLine gets every line as it arrived", () => {
  const lines = [];
  parse([bytesOf("data: a\r\n\r\n: c\rid\n\ndata: cut")], { onLine: (line) => lines.push(line) });
  assert.deepEqual(lines, ["data: a", "", ": c", "id", ""]);
});

for (const [text, isUnfinished] of [
  ["", false],
  ["data: x\n\n", false],
  [": comment\n", false],
  ["data: x\n", true],
  ["data: x", true],
  ["data: x\n\nid: 7\n", true],
  [": comm", true],
]) {
  test(`${JSON.stringify(text)} is ${isUnfinished ? "" : "not "}unfinished`, () => {
    const parser = new EventParser();
    parser.feed(bytesOf(text));
    assert.equal(parser.isUnfinished, isUnfinished);
  });
}

test("an incomplete character makes the stream unfinished", () => {
  const parser = new EventParser();
  parser.feed(Uint8Array.of(0xe2, 0x82));
  assert.equal(parser.isUnfinished, true);
});

// Each line takes 20 bytes without its line end.
for (const line of ["data: 12345678901234", "data: ééééééé", "data: €€€€12", "data: 😀😀😀12"]) {
  for (const [name, cut] of Object.entries(CUTS)) {
    test(`an event of maxEventSize passes, and one byte more does not: ${line}, ${name}`, () => {
      const chunks = cut([bytesOf(`${line}\n\n`)]);
      assert.equal(parse(chunks, { maxEventSize: 20 }).events.length, 1);
      assert.throws(() => parse(chunks, { maxEventSize: 19 }), EventTooLargeError);
    });
  }
}

test("the size of an event is the sum of its lines", () => {
  const event = bytesOf("data: 1234\ndata: 1234\n\n");
  assert.equal(parse([event], { maxEventSize: 20 }).events.length, 1);
  assert.throws(() => parse([event], { maxEventSize: 19 }), EventTooLargeError);
});

test("each event of a stream has its own size", () => {
  assert.equal(parse([bytesOf("id: 1\ndata: x\n\n".repeat(50))], { maxEventSize: 20 }).events.length, 50);
});

test("comments do not count towards the size of an event", () => {
  assert.equal(parse([bytesOf(": keep-alive\n".repeat(50))], { maxEventSize: 20 }).comments.length, 50);
});

test("a line that is too large is refused before its end", () => {
  const chunks = Array.from({ length: 30 }, () => bytesOf("x"));
  assert.throws(() => parse(chunks, { maxEventSize: 20 }), EventTooLargeError);
});

test("events before one that is too large are dispatched", () => {
  const data = [];
  const parser = new EventParser({ onEvent: (event) => data.push(event.data), maxEventSize: 20 });
  assert.throws(() => parser.feed(bytesOf(`data: a\n\ndata: ${"b".repeat(50)}\n\n`)), EventTooLargeError);
  assert.deepEqual(data, ["a"]);
});
