// A page that uses the AI SDK without showing anything. It takes commands from its standard input, one a line, and
// prints what useChat would show whenever that has changed.

import { createInterface } from "node:readline";

import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

const [api, id, cookie] = process.argv.slice(2);
const answers = [];
const ends = [];
let done = 0;
let printed;

async function fetchAndNote(url, options) {
  const response = await fetch(url, options);
  answers.push({ status: response.status, protocol: response.headers.get("x-vercel-ai-ui-message-stream") });
  return response;
}

const chat = new Chat({
  id,
  transport: new DefaultChatTransport({ api, headers: { cookie }, fetch: fetchAndNote }),
  onFinish: ({ isAbort, isError }) => ends.push(isError ? "error" : isAbort ? "abort" : "finish"),
});

const commands = {
  ask: (text) => chat.sendMessage({ text }),
  again: () => chat.regenerate(),
  resume: () => chat.resumeStream(),
  leave: () => chat.stop(),
};

function print() {
  const { status, messages, error } = chat;
  const shown = JSON.stringify({ status, messages, answers, ends, done, error: error?.message });
  if (shown !== printed) {
    console.log(shown);
    printed = shown;
  }
}

setInterval(print, 5);
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = JSON.parse(line);
  commands[command](argument).then(() => (done += 1));
}
process.exit();
