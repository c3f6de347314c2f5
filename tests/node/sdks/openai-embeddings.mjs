// OpenAI's client for Node: embeddings and moderations.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.SLUICE_URL}/v1`, apiKey: "none", maxRetries: 0 });
const model = "text-embedding-3-small";

test("embeddings.create gives a vector of numbers, by way of base64 or not", async () => {
  const input = ["one text", "another text"];
  const asBase64 = await client.embeddings.create({ model, input });
  const asNumbers = await client.embeddings.create({ model, input, encoding_format: "float" });
  assert.deepEqual(asBase64.data.map((each) => each.embedding.length), [1536, 1536]);
  assert.deepEqual([...asBase64.data[1].embedding], asNumbers.data[1].embedding);
  assert.equal(asBase64.usage.prompt_tokens, 4);
});

test("a wrong number of dimensions is a BadRequestError", async () => {
  const request = client.embeddings.create({ model, input: "a text", dimensions: 5000 });
  await assert.rejects(request, OpenAI.BadRequestError);
});

test("moderations.create tells which categories a text is flagged for", async () => {
  const { results } = await client.moderations.create({ input: ["a flower", "I will kill you"] });
  assert.deepEqual(results.map((each) => each.flagged), [false, true]);
  assert.equal(results[1].categories.violence, true);
});
