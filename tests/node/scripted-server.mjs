// An HTTP server that sends what a test tells it.

import { createServer } from "node:http";

/** @typedef {(response: import("node:http").ServerResponse) => unknown} Answer */

/**
 * Starts a server. Each request gets the next answer, further requests the last one. The server ends with the test.
 *
 * @param {import("node:test").TestContext} t
 * @param {...Answer} answers
 * @returns {Promise<{url: string, requests: {method: string, headers: Record<string, string>, body: Promise<string>,
 *   closed: Promise<void>}[]}>} closed: resolved when the client has closed the connection, or the answer is complete
 */
export async function serve(t, ...answers) {
  const requests = [];
  const server = createServer((request, response) => {
    const { method, headers } = request;
    const body = request.setEncoding("utf8").reduce((text, piece) => text + piece, "");
    const closed = new Promise((resolve) => response.on("close", resolve));
    requests.push({ method, headers, body, closed });
    answers[Math.min(requests.length, answers.length) - 1](response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}/`, requests };
}

/**
 * Sends an event stream and leaves it open.
 * @param {...(string | Uint8Array)} pieces each in its own write
 * @returns {Answer}
 */
export function sends(...pieces) {
  return async (response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    for (const piece of pieces) {
      await new Promise((resolve) => response.write(piece, resolve));
    }
  };
}

/**
 * Sends an event stream that ends properly.
 * @param {...(string | Uint8Array)} pieces
 * @returns {Answer}
 */
export function ends(...pieces) {
  return async (response) => {
    await sends(...pieces)(response);
    response.end();
  };
}

/**
 * Sends an event stream whose connection is reset.
 * @param {...(string | Uint8Array)} pieces
 * @returns {Answer}
 */
export function breaks(...pieces) {
  return async (response) => {
    await sends(...pieces)(response);
    response.socket.resetAndDestroy();
  };
}

/**
 * @param {number} status
 * @param {Record<string, string>} [headers]
 * @param {string} [body]
 * @returns {Answer}
 */
export function refuses(status, headers = {}, body = "") {
  return (response) => response.writeHead(status, headers).end(body);
}
