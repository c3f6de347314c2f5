// Calls a server with OpenAI's client for Node: one JSON object per line in, one per line out.
//
// In:  url, call ("chat.completions.create"), parameters; leave: close the stream after its first item
// Out: items (of the stream, or the one answer), error (null, or the error that was thrown)

import { createInterface } from "node:readline";

import OpenAI from "openai";

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await seen(JSON.parse(line))));
}

async function seen({ url, call, parameters, leave }) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
  const items = [];
  try {
    const names = call.split(".");
    const method = names.pop();
    const answer = await names.reduce((part, name) => part[name], client)[method](...parameters);
    if (answer[Symbol.asyncIterator] === undefined) {
      items.push(answer);
    } else {
      for await (const item of answer) {
        items.push(item);
        if (leave) break;
      }
    }
    return { items, error: null };
  } catch (error) {
    return { items, error: described(error) };
  }
}

function described(error) {
  const { message, status, code, param, type, error: body } = error;
  return {
    class: error.constructor.name,
    isAPIError: error instanceof OpenAI.APIError,
    retryAfter: error.headers?.get("retry-after") ?? null,
    ...{ message, status, code, param, type, body },
  };
}
