// Runs an agent with AG-UI's own client, and prints what the client saw as JSON.
//
// Argument: JSON with url, the run's id, the messages, the tools, and leaveAfter: the number of events after which to abort, or null

import { HttpAgent } from "@ag-ui/client";

const { url, runId, messages, tools, leaveAfter } = JSON.parse(process.argv.at(-1));
const agent = new HttpAgent({ url, threadId: "thread-1", initialMessages: messages });
const seen = { events: [], error: null };
console.error = () => {}; // It prints an error that it throws, too.

try {
  await agent.runAgent(
    { runId, tools },
    {
      onEvent: ({ event }) => {
        seen.events.push(event);
        if (seen.events.length === leaveAfter) agent.abortRun();
      },
    },
  );
} catch (error) {
  seen.error = { message: error.message, status: error.status ?? null };
}
console.log(JSON.stringify({ ...seen, messages: agent.messages, state: agent.state }));
