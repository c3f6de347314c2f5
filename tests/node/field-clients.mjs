// Node's clients: as tests/sdks/field/clients.py, which says how.

import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { GoogleGenAI } from "@google/genai";
import { streamText } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const STALL_MS = 2000;
const GIVE_UP_MS = 20000;
const QUESTION = "How does this end?";
const MESSAGES = [{ role: "user", content: QUESTION }];

const CLIENTS = {
  "openai (Node), chat": async (url, model) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", timeout: STALL_MS });
    const stream = await client.chat.completions.create({ model, messages: MESSAGES, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    return text;
  },
  "openai (Node), chat.completions.stream": async (url, model) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", timeout: STALL_MS });
    return await client.chat.completions.stream({ model, messages: MESSAGES }).finalContent();
  },
  "openai (Node), responses.stream": async (url, model) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", timeout: STALL_MS });
    const response = await client.responses.stream({ model, input: QUESTION }).finalResponse();
    return response.output_text;
  },
  "@anthropic-ai/sdk, messages.stream": async (url, model) => {
    const client = new Anthropic({ baseURL: url, apiKey: "none", timeout: STALL_MS });
    return await client.messages.stream({ model, max_tokens: 1000, messages: MESSAGES }).finalText();
  },
  "ollama (Node), chat": async (url, model) => {
    const stream = await new Ollama({ host: url }).chat({ model, messages: MESSAGES, stream: true });
    let text = "";
    for await (const part of stream) text += part.message.content;
    return text;
  },
  "@google/genai, generateContentStream": async (url, model) => {
    const client = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: url, timeout: STALL_MS } });
    const stream = await client.models.generateContentStream({ model, contents: QUESTION });
    let text = "";
    for await (const chunk of stream) text += chunk.text ?? "";
    return text;
  },
  "ai (Vercel), streamText": async (url, model) => {
    const provider = createOpenAICompatible({ name: "sluice", baseURL: `${url}/v1` });
    let failure = null;
    const onError = ({ error }) => {
      failure = error;
    };
    const { textStream } = streamText({ model: provider(model), prompt: QUESTION, onError });
    let text = "";
    for await (const part of textStream) text += part;
    // The stream of text itself does not throw.
    if (failure !== null) throw failure;
    return text;
  },
};

async function read(client, index, url, name) {
  const beganAt = performance.now();
  let text = "";
  let error = null;
  try {
    text = await CLIENTS[client](url, `${name}.${index}`);
  } catch (raised) {
    error = raised.constructor.name;
  }
  const seconds = (performance.now() - beganAt) / 1000;
  console.log(JSON.stringify({ client, case: name, text, error, seconds }));
}

const [url, first, ...cases] = process.argv.slice(2);
const names = Object.keys(CLIENTS);
if (url === "--list") {
  console.log(JSON.stringify(names));
  process.exit(0);
}
const reads = names.flatMap((client, index) =>
  cases.map((name) => read(client, Number(first) + index, url, name)),
);
const givenUp = new Promise((resolve) => setTimeout(resolve, GIVE_UP_MS));
await Promise.race([Promise.all(reads), givenUp]);
process.exit(0);
