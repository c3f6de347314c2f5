// Does what client.py does, with an official SDK for TypeScript: @modelcontextprotocol/client (both eras), or @modelcontextprotocol/sdk.
// Arguments: the URL, the package. It stands in a folder that has the packages.

import { text } from "node:stream/consumers";

const [, , url, packageName] = process.argv;

async function connect() {
  const information = { name: "test", version: "1" };
  if (packageName === "@modelcontextprotocol/sdk") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(information);
    const transport = new StreamableHTTPClientTransport(new URL(url));
    await client.connect(transport);
    const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
    return { client, call, version: transport.protocolVersion };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const client = new Client(information, { versionNegotiation: { mode: "auto" } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const call = (name, args, options) => client.callTool({ name, arguments: args }, options);
  return { client, call, version: client.getNegotiatedProtocolVersion() };
}

async function errorOf(call) {
  return call.then(() => "no error", (error) => error.message);
}

const { client, call, version } = await connect();
const progress = [];
const onprogress = ({ progress: done, total, message }) => progress.push([done, total, message]);
const seen = {
  version,
  tools: (await client.listTools()).tools.map((tool) => tool.name).slice(0, 2),
  quick: (await call("count_words", { text: "a b" })).content[0].text,
  slow: (await call("read_pages", { pages: 3, seconds: 0.1 }, { onprogress })).content[0].text,
  progress,
  unknown: await errorOf(call("unknown", {})),
  broken: await errorOf(call("broken", {})),
  "for the model": (await call("count_words", { text: 5 })).content[0].text,
};
console.log(JSON.stringify(seen));
await errorOf(call("silent", {}, { signal: AbortSignal.timeout(500) }));
console.log("cancelled");
await text(process.stdin);
await client.close();
