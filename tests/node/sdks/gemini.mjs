// Google's client for Node.

import assert from "node:assert/strict";
import test from "node:test";
import { ApiError, FunctionCallingConfigMode, GoogleGenAI, Type } from "@google/genai";

const client = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: process.env.SLUICE_URL } });
const model = "gemini-2.5-flash";
const contents = "What is the weather in Paris?";

function config(simulator, fields = {}) {
  return { httpOptions: { extraBody: { simulator: { itl_ms: 0, ...simulator } } }, ...fields };
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

test("a stream says what the whole answer says", async () => {
  const request = { model, contents, config: config({ tokens: 8 }) };
  const chunks = await all(client.models.generateContentStream(request));
  const whole = await client.models.generateContent(request);
  assert.equal(chunks.map((chunk) => chunk.text ?? "").join(""), whole.text);
  assert.equal(chunks.at(-1).candidates[0].finishReason, "STOP");
  assert.equal(whole.usageMetadata.candidatesTokenCount, 8);
});

test("a function that has to be called is called", async () => {
  const parameters = { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ["city"] };
  const fields = {
    tools: [{ functionDeclarations: [{ name: "get_weather", parameters }] }],
    toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } },
  };
  const { functionCalls } = await client.models.generateContent({ model, contents, config: config({}, fields) });
  assert.equal(functionCalls[0].name, "get_weather");
  assert.equal(typeof functionCalls[0].args.city, "string");
});

test("an answer has the schema that was asked for", async () => {
  const responseSchema = { type: Type.OBJECT, properties: { people: { type: Type.INTEGER } }, required: ["people"] };
  const fields = { responseMimeType: "application/json", responseSchema };
  const answer = await client.models.generateContent({ model, contents, config: config({}, fields) });
  assert.ok(Number.isInteger(JSON.parse(answer.text).people));
});

test("a chat remembers what was said", async () => {
  const chat = client.chats.create({ model, config: config({ tokens: 8 }) });
  await chat.sendMessage({ message: "Hello" });
  await all(chat.sendMessageStream({ message: "And now?" }));
  assert.deepEqual(chat.getHistory(true).map((each) => each.role).slice(0, 3), ["user", "model", "user"]);
});

test("tokens are counted, texts become vectors, and models are listed", async () => {
  assert.ok((await client.models.countTokens({ model, contents })).totalTokens > 0);
  const { embeddings } = await client.models.embedContent({ model, contents: ["a", "b"] });
  assert.deepEqual(embeddings.map((each) => each.values.length), [3072, 3072]);
  const names = [];
  for await (const each of await client.models.list()) names.push(each.name);
  assert.deepEqual(names, ["models/sluice-simulator"]);
});

test("a refusal and an error in mid-stream are errors of the API", async () => {
  const refused = client.models.generateContent({
    model,
    contents,
    config: config({ fault: { kind: "status", status: 503 } }),
  });
  await assert.rejects(refused, (error) => error instanceof ApiError && error.status === 503);
  const failing = config({ fault: { kind: "error_event" } });
  await assert.rejects(all(client.models.generateContentStream({ model, contents, config: failing })), ApiError);
});

test("a stream that is cut is an error", async () => {
  for (const kind of ["cut", "reset"]) {
    const failing = config({ fault: { kind } });
    await assert.rejects(all(client.models.generateContentStream({ model, contents, config: failing })), kind);
  }
});
