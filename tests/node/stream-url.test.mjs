// Which URLs the demo page follows: a link to the page can name only a stream of the same server.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseStreamUrl } from "../../static/js/demo/streams/stream-url.js";

const ORIGIN = "http://localhost:8080";
const ID = "3xQ_8-abcdefghijklmnop";

for (const [base, text, expected] of [
  ["", `/v1/streams/${ID}`, `/v1/streams/${ID}`],
  ["", `/v1/streams/${ID}?ticket=179.Ab_c-d`, `/v1/streams/${ID}?ticket=179.Ab_c-d`],
  ["", `${ORIGIN}/v1/streams/${ID}`, `/v1/streams/${ID}`],
  ["/a/b", `/a/b/v1/streams/${ID}`, `/a/b/v1/streams/${ID}`],
]) {
  test(`follows ${text} under "${base}"`, () => {
    assert.equal(parseStreamUrl(text, base, ORIGIN), expected);
  });
}

for (const text of [
  "",
  "/",
  "/v1/streams",
  "/v1/streams/",
  "/v1/streams/..",
  "/v1/streams/../models",
  "/v1/streams/../files/file-1",
  "/v1/streams/%2e%2e/files",
  "/v1/streams/.%2E/files",
  "/v1/streams/%2e%2e%2ffiles",
  "/v1/streams/..%2ffiles",
  "/v1/streams/..%5cfiles",
  "/v1/streams/..\\files",
  "/v1/streams\\..\\files",
  "/v1/streams/.\t./files",
  "/v1/streams/%252e%252e/files",
  `/v1/streams/${ID}/../../files/x`,
  `/v1/streams/${ID}/status`,
  `/v1/streams/${ID}/`,
  `/v1/streams//${ID}`,
  `/v1/streams/${ID};x`,
  `/v1/streams/${ID}%00`,
  `/v1/streams/${ID}#x`,
  `/v1/streams/${ID}?name=x`,
  `/v1/streams/${ID}?ticket=x&last_event_id=1`,
  `/v1/streams/${ID}?ticket=a%26b`,
  `//elsewhere.test/v1/streams/${ID}`,
  `\\\\elsewhere.test/v1/streams/${ID}`,
  `/\\elsewhere.test/v1/streams/${ID}`,
  `https://elsewhere.test/v1/streams/${ID}`,
  `http://localhost:8081/v1/streams/${ID}`,
  `http://user@localhost:8080/v1/streams/${ID}`,
  `http://localhost:8080@elsewhere.test/v1/streams/${ID}`,
  `javascript:alert(1)//v1/streams/${ID}`,
  "data:text/event-stream,x",
  "blob:http://localhost:8080/x",
  "http://[",
  `/other/v1/streams/${ID}`,
]) {
  test(`does not follow ${JSON.stringify(text)}`, () => {
    assert.equal(parseStreamUrl(text, "", ORIGIN), null);
  });
}

test("under a prefix it does not follow a stream of another application on the host", () => {
  assert.equal(parseStreamUrl(`/v1/streams/${ID}`, "/sluice", ORIGIN), null);
  assert.equal(parseStreamUrl(`/sluice/../v1/streams/${ID}`, "/sluice", ORIGIN), null);
});
