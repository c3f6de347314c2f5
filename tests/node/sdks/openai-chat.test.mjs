// OpenAI's Node SDK finds in the simulator's chat completions what it finds in OpenAI's.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.SLUICE_URL}/v1`, apiKey: "any", maxRetries: 0 });
const chat = client.chat.completions;
const messages = [{ role: "user", content: "What is the weather in Köln?" }];
const TEXT = "It is sunny. Größe 🌊";
const asking = (fields = {}) => ({
  model: "any",
  messages,
  ...fields,
  simulator: { itl_ms: 0, text: TEXT, ...fields.simulator },
});
const askingFreely = (fields) => ({ model: "any", messages, ...fields, simulator: { itl_ms: 0 } });

const Weather = z.object({
  city: z.string(),
  kind: z.enum(["sun", "rain"]),
  degrees: z.number().int().nullable(),
  days: z.array(z.object({ name: z.string(), isDry: z.boolean() })),
});
const schemaOf = (strict) => ({
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  ...(strict ? { additionalProperties: false } : {}),
});

test("create returns the whole answer", async () => {
  const answer = await chat.create(asking({ n: 2 }));
  assert.deepEqual(
    answer.choices.map((choice) => choice.message.content),
    [TEXT, TEXT],
  );
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("create yields the chunks of a stream", async () => {
  const stream = await chat.create(asking({ stream: true, stream_options: { include_usage: true } }));
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), TEXT);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
});

test("the stream helper tells the text as events", async () => {
  const stream = chat.stream(asking({ logprobs: true }));
  const pieces = [];
  stream.on("content", (delta) => pieces.push(delta));
  assert.equal(await stream.finalContent(), TEXT);
  assert.equal(pieces.join(""), TEXT);
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].logprobs.content.map((each) => each.token).join(""), TEXT);
});

test("the stream helper tells the calls of tools", async () => {
  const tools = [{ type: "function", function: { name: "get_weather", parameters: schemaOf(false) } }];
  const stream = chat.stream(askingFreely({ tools }));
  const done = [];
  stream.on("tool_calls.function.arguments.done", (call) => done.push(call));
  const message = await stream.finalMessage();
  assert.equal(done.length, 1);
  assert.equal(done[0].name, "get_weather");
  assert.equal(message.tool_calls[0].function.arguments, done[0].arguments);
});

test("the stream helper tells a refusal", async () => {
  const stream = chat.stream(asking({ simulator: { refusal: "No." } }));
  const told = new Promise((resolve) => stream.on("refusal.done", ({ refusal }) => resolve(refusal)));
  assert.equal((await stream.finalMessage()).refusal, "No.");
  assert.equal(await told, "No.");
});

test("parse returns what the schema describes", async () => {
  const response_format = zodResponseFormat(Weather, "weather");
  const answer = await chat.parse(askingFreely({ response_format }));
  assert.deepEqual(Weather.parse(answer.choices[0].message.parsed), answer.choices[0].message.parsed);
});

test("parse returns the arguments of a call", async () => {
  const tools = [zodFunction({ name: "get_weather", parameters: Weather })];
  const answer = await chat.parse(askingFreely({ tools }));
  assert.ok(Weather.parse(answer.choices[0].message.tool_calls[0].function.parsed_arguments));
});

for (const stream of [false, true]) {
  test(`runTools ends with an answer that takes up the results, stream: ${stream}`, async () => {
    const asked = [];
    const tool = {
      type: "function",
      function: {
        name: "get_weather",
        parameters: schemaOf(true),
        parse: JSON.parse,
        function: ({ city }) => {
          asked.push(city);
          return "17 °C and sunny";
        },
      },
    };
    const runner = chat.runTools(askingFreely({ stream, tools: [tool] }));
    assert.match(await runner.finalContent(), /17 °C and sunny/);
    assert.equal(asked.length, 1);
    assert.equal(typeof asked[0], "string");
  });
}

test("an error is of the class of its status and names the field", async () => {
  await assert.rejects(chat.create(asking({ temperature: "hot" })), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.equal(error.type, "invalid_request_error");
    assert.match(error.message, /expected a decimal, but got a string instead/);
    return true;
  });
  const fault = { kind: "status", status: 429 };
  await assert.rejects(chat.create(asking({ simulator: { fault } })), OpenAI.RateLimitError);
});

test("an error in mid-stream is thrown", async () => {
  const stream = await chat.create(asking({ stream: true, simulator: { fault: { kind: "error_event" } } }));
  await assert.rejects(async () => {
    for await (const chunk of stream) assert.ok(chunk);
  }, OpenAI.APIError);
});

test("the response has its request's id", async () => {
  const { request_id, response } = await chat.create(asking()).withResponse();
  assert.ok(request_id);
  assert.equal(request_id, response.headers.get("x-request-id"));
});

test("completions are whole or streamed", async () => {
  const fields = { model: "any", prompt: "Say:", simulator: { itl_ms: 0, text: TEXT } };
  const whole = await client.completions.create({ ...fields, echo: true });
  assert.equal(whole.choices[0].text, `Say:${TEXT}`);
  const pieces = [];
  for await (const chunk of await client.completions.create({ ...fields, stream: true })) {
    pieces.push(chunk.choices[0].text);
  }
  assert.equal(pieces.join(""), TEXT);
});
