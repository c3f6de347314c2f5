// OpenAI's Node SDK against the simulator's Responses API. The address comes as the argument.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.SLUICE_URL}/v1`, apiKey: "none", maxRetries: 0 });
const simulator = { itl_ms: 0, tokens: 8 };
const asked = { model: "gpt-4o", input: "Why?", simulator };
const tools = [
  {
    type: "function",
    name: "get_weather",
    strict: true,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
];

async function eventsOf(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

test("a stream and its whole say the same", async () => {
  const whole = await client.responses.create(asked);
  const events = await eventsOf(await client.responses.create({ ...asked, stream: true }));
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), whole.output_text);
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
});

test("the stream helper accumulates the response", async () => {
  const stream = client.responses.stream(asked);
  const deltas = [];
  stream.on("response.output_text.delta", (event) => deltas.push(event.delta));
  const final = await stream.finalResponse();
  assert.equal(final.output_text, deltas.join(""));
  assert.equal(final.status, "completed");
});

test("structured output is parsed", async () => {
  const City = z.object({ name: z.string(), inhabitants: z.number().int() });
  const text = { format: zodTextFormat(City, "city") };
  const response = await client.responses.parse({ ...asked, text });
  assert.equal(typeof response.output_parsed.inhabitants, "number");
});

test("a stream goes on right after any of its events", async () => {
  const stream = await client.responses.create({ ...asked, stream: true, background: true });
  const events = await eventsOf(stream);
  const query = { stream: true, starting_after: 5 };
  const rest = await eventsOf(await client.responses.retrieve(events[0].response.id, query));
  assert.deepEqual(rest, events.slice(6));
});

test("a response in the background is polled and cancelled", async () => {
  const made = await client.responses.create({
    ...asked,
    background: true,
    simulator: { itl_ms: 20, tokens: 500 },
  });
  assert.equal((await client.responses.retrieve(made.id)).status, "in_progress");
  assert.equal((await client.responses.cancel(made.id)).status, "cancelled");
  await client.responses.delete(made.id);
  await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError);
});

test("a loop that runs tools comes to an end", async () => {
  let items = [{ role: "user", content: "The weather in Paris?" }];
  let response;
  for (let turn = 0; turn < 5; turn++) {
    response = await client.responses.create({ ...asked, input: items, tools });
    const calls = response.output.filter((item) => item.type === "function_call");
    if (calls.length === 0) break;
    const results = calls.map(({ call_id }) => ({
      type: "function_call_output",
      call_id,
      output: "it rains",
    }));
    items = [...items, ...response.output, ...results];
  }
  assert.match(response.output_text, /^The tool/);
});

test("a failure in mid-stream is thrown", async () => {
  const faulty = { ...asked, simulator: { ...simulator, fault: { kind: "error_event" } } };
  const stream = await client.responses.create({ ...faulty, stream: true });
  await assert.rejects(eventsOf(stream), /a failure was asked for/);
});

test("a request is checked", async () => {
  await assert.rejects(
    client.responses.create({ ...asked, temperature: 3 }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
  );
});
