// Reads one stream with each client from npm at the same time, and prints what they saw as JSON.
//
// Arguments: the gateway's URL, the body of a chat completion. The stream begins when the clients are ready to read it.

import { createRequire } from "node:module";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { EventSource } from "eventsource";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { EventSource as ExtendedEventSource } from "extended-eventsource";
import { events } from "fetch-event-stream";
import OpenAI from "openai";

import { FetchEventSource } from "../../static/js/fetch-event-source/fetch-event-source.js";

const require = createRequire(import.meta.url);
const LaunchDarklyEventSource = require("launchdarkly-eventsource").EventSource;

const [url, bodyText] = process.argv.slice(2);
const body = JSON.parse(bodyText);
const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: bodyText };
const isLast = (type, data) => type === "done" || data === "[DONE]";

// Made for browsers: it looks whether its page is visible.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import("@microsoft/fetch-event-source");

/** What an EventSource of any make dispatches, up to the terminal event. */
function listen(source, see) {
  return new Promise((resolve, reject) => {
    const take = ({ type, data }) => {
      see(type, data);
      if (isLast(type, data)) {
        source.close();
        resolve();
      }
    };
    source.addEventListener("message", take);
    source.addEventListener("done", take);
    source.addEventListener("error", (event) => reject(new Error(event.message ?? "error")));
  });
}

const ANY_METHOD = {
  "@microsoft/fetch-event-source": (target, init, see) =>
    fetchEventSource(target, {
      ...init,
      onmessage: ({ event, data }) => see(event || "message", data),
      onerror: (error) => {
        throw error;
      },
    }),
  "eventsource-parser": async (target, init, see) => {
    const { body } = await fetch(target, init);
    const parsed = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
    for await (const { event, data } of parsed) see(event ?? "message", data);
  },
  "fetch-event-stream": async (target, init, see) => {
    for await (const { event, data } of events(await fetch(target, init))) see(event ?? "message", data);
  },
  "launchdarkly-eventsource": (target, init, see) => listen(new LaunchDarklyEventSource(target, init), see),
  sluice: (target, init, see) => listen(new FetchEventSource(target, init), see),
};
const RESUMABLE = {
  ...ANY_METHOD,
  eventsource: (target, init, see) => listen(new EventSource(target), see),
  "extended-eventsource": (target, init, see) => listen(new ExtendedEventSource(target), see),
};
const CHAT = {
  ...ANY_METHOD,
  openai: async (target, init, see) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0, dangerouslyAllowBrowser: true });
    for await (const chunk of await client.chat.completions.create(body)) see("message", JSON.stringify(chunk));
  },
  "@ai-sdk/openai-compatible": async (target, init, see) => {
    const provider = createOpenAICompatible({
      name: "sluice",
      baseURL: `${url}/v1`,
      fetch: (input, options) => fetch(input, { ...options, body: bodyText }),
    });
    const prompt = [{ role: "user", content: [{ type: "text", text: "hi" }] }];
    const { stream } = await provider(body.model).doStream({ prompt, includeRawChunks: true });
    for await (const part of stream) {
      if (part.type === "raw") see("message", JSON.stringify(part.rawValue));
      if (part.type === "error") throw part.error;
    }
  },
};

async function seenWith(read, target, init) {
  const seen = [];
  try {
    await read(target, init, (type, data) => seen.push([type, data]));
  } catch (error) {
    seen.push(["error", `${error.name}: ${error.message}`]);
  }
  return seen;
}

async function readAll(readers, target, init) {
  const results = Object.entries(readers).map(async ([name, read]) => [name, await seenWith(read, target, init)]);
  return Object.fromEntries(await Promise.all(results));
}

const { url: path } = await (await fetch(`${url}/v1/streams`, post)).json();
const [resumable, chat] = await Promise.all([
  readAll(RESUMABLE, url + path, {}),
  readAll(CHAT, `${url}/v1/chat/completions`, post),
]);
process.stdout.write(JSON.stringify({ path, seen: { resumable, chat } }), () => process.exit(0));
