// Records what a FetchEventSource does, in a form that tests can compare.

import { once } from "node:events";

import { FetchEventSource } from "../../static/js/fetch-event-source/fetch-event-source.js";

/**
 * Opens a source, which is closed at the end of the test.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} url
 * @param {import("../../static/js/fetch-event-source/fetch-event-source.js").FetchEventSourceOptions} [options]
 * @param {string[]} [names] of further events to record
 */
export function open(t, url, options = {}, names = []) {
  const source = new FetchEventSource(url, options);
  t.after(() => source.close());
  const log = [];
  source.addEventListener("open", () => log.push(["open"]));
  for (const type of ["message", ...names]) {
    source.addEventListener(type, ({ data, lastEventId }) => log.push([type, data, lastEventId]));
  }
  source.addEventListener("error", (event) => log.push(["error", event.kind, event.willRetry]));
  return { source, log };
}

/**
 * @param {EventTarget} source
 * @param {string} type
 * @returns {Promise<any>} the next event of that type
 */
export async function next(source, type) {
  const [event] = await once(source, type);
  return event;
}

/**
 * @param {FetchEventSource} source
 * @returns {Promise<import("../../static/js/fetch-event-source/fetch-event-source.js").FetchEventSourceErrorEvent>} the error that closed it
 */
export async function end(source) {
  for (;;) {
    const event = await next(source, "error");
    if (source.readyState === FetchEventSource.CLOSED) {
      return event;
    }
  }
}

/** Removes the random part of delays, so that the source reconnects as soon as the server allows. */
export function withoutJitter(t) {
  t.mock.method(Math, "random", () => 0);
}

/**
 * Returns the response of a test's own fetch function.
 * @param {ReadableStream<Uint8Array> | string} body
 */
export function streamResponse(body) {
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

/**
 * @param {Uint8Array[]} chunks
 * @param {Error} [error] the error that the body breaks with; without one it ends properly
 * @returns {ReadableStream<Uint8Array>}
 */
export function bodyOf(chunks, error) {
  return new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        controller.enqueue(chunk);
      } else if (error !== undefined) {
        controller.error(error);
      } else {
        controller.close();
      }
    },
  });
}

/**
 * Returns a body that sends a text and then waits; send() sends more.
 * @param {string} text
 */
export function endlessBody(text) {
  let controller;
  const body = { isCancelled: false, send: (more) => controller.enqueue(Buffer.from(more)) };
  body.whenWaiting = new Promise((resolve) => {
    body.stream = new ReadableStream(
      {
        start: (given) => (controller = given),
        pull() {
          if (text === "") {
            setImmediate(resolve);
          } else {
            body.send(text);
            text = "";
          }
        },
        cancel: () => (body.isCancelled = true),
      },
      { highWaterMark: 0 },
    );
  });
  return body;
}
