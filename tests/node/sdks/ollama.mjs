// Ollama's client for Node.

import assert from "node:assert/strict";
import test from "node:test";
import { Ollama } from "ollama";

const client = new Ollama({ host: process.env.SLUICE_URL });
const model = "llama3.2";
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const quick = { simulator: { itl_ms: 0, tokens: 8 } };
const failing = (kind) => ({ simulator: { itl_ms: 0, fault: { kind } } });

async function all(stream) {
  const parts = [];
  for await (const part of await stream) parts.push(part);
  return parts;
}

test("a chat that is streamed says what the whole one says", async () => {
  const parts = await all(client.chat({ model, messages, stream: true, options: quick }));
  const whole = await client.chat({ model, messages, options: quick });
  assert.equal(parts.map((part) => part.message.content).join(""), whole.message.content);
  assert.equal(parts.at(-1).done, true);
  assert.equal(whole.eval_count, 8);
});

test("generate answers with a response", async () => {
  const parts = await all(client.generate({ model, prompt: "Why?", stream: true, options: quick }));
  assert.equal(parts.filter((part) => part.response).length, 8);
  assert.ok(parts.at(-1).context.length > 0);
});

test("tools are called with an object of arguments", async () => {
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const tools = [{ type: "function", function: { name: "get_weather", description: "", parameters } }];
  const options = { simulator: { itl_ms: 0 } };
  const parts = await all(client.chat({ model, messages, tools, stream: true, options }));
  const [call] = parts.flatMap((part) => part.message.tool_calls ?? []);
  assert.equal(call.function.name, "get_weather");
  assert.equal(typeof call.function.arguments.city, "string");
  const results = [...messages, { role: "tool", content: "sunny", tool_name: "get_weather" }];
  const answer = await client.chat({ model, messages: results, tools, options });
  assert.equal(answer.message.tool_calls, undefined);
});

test("a format and thinking are obeyed", async () => {
  const format = { type: "object", properties: { people: { type: "integer" } }, required: ["people"] };
  const options = { simulator: { itl_ms: 0 } };
  const answer = await client.chat({ model, messages, format, think: true, options });
  assert.ok(Number.isInteger(JSON.parse(answer.message.content).people));
  assert.ok(answer.message.thinking);
});

test("embed, list, ps and show answer", async () => {
  assert.equal((await client.embed({ model, input: ["a", "b"] })).embeddings.length, 2);
  assert.equal((await client.list()).models.length, 1);
  assert.equal((await client.ps()).models.length, 1);
  assert.ok((await client.show({ model })).capabilities.includes("completion"));
  assert.ok((await client.version()).version);
});

test("a refusal has its status, and an error in mid-stream is thrown", async () => {
  const refused = client.chat({ model, messages, options: { simulator: { fault: { kind: "status", status: 503 } } } });
  await assert.rejects(refused, { name: "ResponseError", status_code: 503 });
  await assert.rejects(all(client.chat({ model, messages, stream: true, options: failing("error_event") })), /failure/);
});

test("a stream that is cut, or has no end, is an error", async () => {
  for (const kind of ["cut", "reset", "truncate", "no_done"]) {
    await assert.rejects(all(client.chat({ model, messages, stream: true, options: failing(kind) })), kind);
  }
});
