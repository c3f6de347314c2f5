// Anthropic's client for Node against the simulator, whose URL is in SLUICE_URL.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";

const TEXT = "One two three four five.";
const client = new Anthropic({ baseURL: process.env.SLUICE_URL, apiKey: "none", maxRetries: 0 });

function asked(options = {}) {
  return {
    model: "claude-haiku-4-5",
    max_tokens: 2000,
    messages: [{ role: "user", content: "What is the weather in “Paris”?" }],
    simulator: { itl_ms: 0, ...options },
  };
}

function weather(cities) {
  return betaZodTool({
    name: "get_weather",
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    run: ({ city }) => {
      cities.push(city);
      return "21 °C";
    },
  });
}

test("a message is read whole", async () => {
  const message = await client.messages.create(asked({ text: TEXT }));
  assert.equal(message.content[0].text, TEXT);
  assert.equal(message.stop_reason, "end_turn");
  assert.match(message._request_id, /^req_/);
});

test("a stream of events is read", async () => {
  const types = [];
  const stream = await client.messages.create({ ...asked({ text: TEXT }), stream: true });
  for await (const event of stream) types.push(event.type);
  assert.equal(types[0], "message_start");
  assert.deepEqual(types.slice(-2), ["message_delta", "message_stop"]);
});

test("the helper puts a stream together", async () => {
  const texts = [];
  const stream = client.messages.stream(asked({ text: TEXT })).on("text", (text) => texts.push(text));
  const final = await stream.finalMessage();
  assert.equal(texts.join(""), TEXT);
  assert.equal(final.content[0].text, TEXT);
  assert.equal(final.usage.output_tokens, 6);
});

test("the helper puts thinking and a call of a tool together", async () => {
  const tools = [
    {
      name: "get_weather",
      input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  ];
  const given = { ...asked(), tools, thinking: { type: "adaptive" } };
  const [thinking, call] = (await client.messages.stream(given).finalMessage()).content;
  assert.equal(thinking.type, "thinking");
  assert.ok(thinking.signature);
  assert.equal(typeof call.input.city, "string");
});

for (const stream of [false, true]) {
  test(`the tool runner runs a tool and ends, stream: ${stream}`, async () => {
    const cities = [];
    const runner = client.beta.messages.toolRunner({ ...asked(), tools: [weather(cities)], stream });
    const final = await runner.runUntilDone();
    assert.equal(cities.length, 1);
    assert.match(final.content[0].text, /21 °C/);
  });
}

test("tokens are counted as they are used", async () => {
  const { model, messages } = asked();
  const { input_tokens } = await client.messages.countTokens({ model, messages });
  assert.equal(input_tokens, (await client.messages.create(asked())).usage.input_tokens);
});

test("the models are listed", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.equal(ids.length, 1);
});

for (const [status, type] of [
  [400, "BadRequestError"],
  [401, "AuthenticationError"],
  [404, "NotFoundError"],
  [429, "RateLimitError"],
  [529, "InternalServerError"],
]) {
  test(`the status ${status} is its class of error`, async () => {
    const fault = { kind: "status", status };
    await assert.rejects(client.messages.create(asked({ fault })), (error) => {
      assert.ok(error instanceof Anthropic[type], error.constructor.name);
      assert.equal(error.status, status);
      return true;
    });
  });
}

test("a failure in mid-stream is raised", async () => {
  const stream = client.messages.stream(asked({ text: TEXT, fault: { kind: "error_event" } }));
  await assert.rejects(stream.finalMessage(), /overloaded_error/);
});

test("a cut stream is noticed", async () => {
  const stream = client.messages.stream(asked({ text: TEXT, fault: { kind: "cut" } }));
  await assert.rejects(stream.finalMessage());
});

test("a wrong request says what is wrong", async () => {
  await assert.rejects(client.messages.create({ ...asked(), messages: [] }), /at least one message is required/);
});
