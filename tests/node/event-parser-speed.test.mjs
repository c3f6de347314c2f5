// The speed of the browser's parser, in processor time, so that other processes do not count.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventParser } from "../../static/js/fetch-event-source/event-parser.js";

const CHUNK_BYTES = 16 * 1024;
const PACKET_BYTES = 1460;
const MIB = 1024 * 1024;
const MIN_MB_PER_SECOND = 800;
// A quadratic cost would make it 4; data larger than the processor's caches makes it 1.7.
const MAX_RATIO = 2.5;
// The first tries include the compiler's work, and other processes share the processor's caches in all of them.
const MAX_TRIES = 10;

const delta = JSON.stringify({ id: "chatcmpl-1", choices: [{ index: 0, delta: { content: "x".repeat(96) } }] });
const EVENT = `data: ${delta}\n\n`;

function cut(bytes, size) {
  const chunks = [];
  for (let start = 0; start < bytes.length; start += size) {
    chunks.push(bytes.subarray(start, start + size));
  }
  return chunks;
}

/** @returns {number} the milliseconds of processor time for parsing this number of streams */
function parse(chunks, streams) {
  let events = 0;
  const start = process.cpuUsage();
  for (let stream = 0; stream < streams; stream += 1) {
    const parser = new EventParser({ onEvent: () => (events += 1) });
    chunks.forEach((chunk) => parser.feed(chunk));
  }
  const { user, system } = process.cpuUsage(start);
  assert.ok(events >= streams);
  return (user + system) / 1000;
}

/** Repeats a measurement until it is good enough. */
function best(measure, isGoodEnough) {
  let shortest = Infinity;
  for (let tries = 0; tries < MAX_TRIES && !isGoodEnough(shortest); tries += 1) {
    shortest = Math.min(shortest, measure());
  }
  return shortest;
}

test(`events of 170 bytes in chunks of 16 KiB: at least ${MIN_MB_PER_SECOND} MB/s`, (t) => {
  assert.equal(EVENT.length, 170);
  const bytes = new TextEncoder().encode(EVENT.repeat(100_000));
  const chunks = cut(bytes, CHUNK_BYTES);
  const streams = 10;
  const speed = (milliseconds) => (streams * bytes.length) / milliseconds / 1000;
  const shortest = best(() => parse(chunks, streams), (time) => speed(time) >= MIN_MB_PER_SECOND);
  t.diagnostic(`${Math.round(speed(shortest))} MB/s`);
  assert.ok(speed(shortest) >= MIN_MB_PER_SECOND, `${speed(shortest)} MB/s`);
});

test("a byte of a line of 8 MiB costs about as much as a byte of a line of 2 MiB", (t) => {
  const chunksOf = (size) => cut(new TextEncoder().encode(`data: ${"x".repeat(size)}\n\n`), PACKET_BYTES);
  const short = chunksOf(2 * MIB);
  const long = chunksOf(8 * MIB);
  parse(short, 4);
  const ratio = best(() => parse(long, 5) / parse(short, 20), (measured) => measured <= MAX_RATIO);
  t.diagnostic(`${ratio.toFixed(1)} times`);
  assert.ok(ratio <= MAX_RATIO, `${ratio} times`);
});
