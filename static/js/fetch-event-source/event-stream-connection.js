// @ts-check
// One connection of a FetchEventSource: the request and the body of the response.

import { extractType } from "./content-type.js";
import { FetchEventSourceError } from "./fetch-event-source-error.js";

/** @typedef {typeof globalThis.fetch} Fetch */

const MAX_ERROR_BODY_CHARACTERS = 64 * 1024;
// The status already says that the request was refused, so the body must not delay the error for long.
const ERROR_BODY_TIMEOUT_MS = 2000;
const HTTP = ["http:", "https:"];
// The delay of a timer is a signed 32-bit number; a larger one fires at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Sends one request and reads its response. `abort()` ends every wait. */
export class EventStreamConnection {
  #fetch;
  #idleTimeout;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idleTimer;
  #controller = new AbortController();

  /**
   * @param {Fetch} fetch
   * @param {number} idleTimeout milliseconds without a byte, 0 for no limit
   */
  constructor(fetch, idleTimeout) {
    this.#fetch = fetch;
    this.#idleTimeout = idleTimeout;
  }

  get isAborted() {
    return this.#controller.signal.aborted;
  }

  /**
   * Closes the connection.
   * @param {unknown} [reason] what open() or chunks() then throws
   */
  abort(reason) {
    clearTimeout(this.#idleTimer);
    this.#controller.abort(reason);
  }

  /**
   * Sends the request.
   * @param {string} url
   * @param {RequestInit} request
   * @returns {Promise<Response>} a response with status 200 and an event stream
   * @throws {FetchEventSourceError | unknown} if there is no such response, or the reason of abort()
   */
  async open(url, request) {
    const response = await this.#request(url, request);
    const { status, headers } = response;
    if (status === 204) {
      throw new FetchEventSourceError("no-content", "The server has nothing more to send.", { status, headers });
    }
    const contentType = headers.get("Content-Type");
    if (status === 200 && extractType(contentType ?? "") === "text/event-stream") {
      return response;
    }
    const body = await this.#readErrorBody(response);
    const details = { status, headers, body };
    if (status !== 200) {
      throw new FetchEventSourceError("status", `The server answered with HTTP status ${status}.`, details);
    }
    const received = contentType ?? "a response without a content type";
    throw new FetchEventSourceError("content-type", `The server sent ${received}, not text/event-stream.`, details);
  }

  /**
   * Yields the body's chunks as they arrive, up to its proper end. Leaving the iteration closes the connection.
   * @param {Response} response
   * @returns {AsyncGenerator<Uint8Array, void, void>}
   * @throws {FetchEventSourceError | unknown} if the connection breaks, or the reason of abort()
   */
  async *chunks(response) {
    const { status, headers, body } = response;
    if (body === null) {
      return;
    }
    // A body that was read already would look like one that ends properly.
    if (response.bodyUsed || typeof body?.getReader !== "function" || body.locked) {
      throw unreadable(response);
    }
    const reader = this.#createReader(body);
    try {
      for (;;) {
        this.#startIdleTimer();
        const { done, value } = await reader.read();
        clearTimeout(this.#idleTimer);
        this.#controller.signal.throwIfAborted();
        if (done) {
          return;
        }
        yield checkBytes(value);
      }
    } catch (cause) {
      this.#controller.signal.throwIfAborted();
      if (cause instanceof FetchEventSourceError) {
        throw cause;
      }
      const message = "The connection broke before the end of the stream.";
      throw new FetchEventSourceError("cut", message, { status, headers, cause });
    } finally {
      clearTimeout(this.#idleTimer);
      cancel(reader);
    }
  }

  /**
   * @param {string} url
   * @param {RequestInit} request
   */
  async #request(url, request) {
    const { signal } = this.#controller;
    signal.throwIfAborted();
    this.#startIdleTimer();
    const fetch = this.#fetch;
    try {
      return await Promise.race([fetch(url, { ...request, signal }), rejectionOf(signal)]);
    } catch (cause) {
      signal.throwIfAborted();
      const { protocol } = new URL(url);
      if (HTTP.includes(protocol)) {
        throw new FetchEventSourceError("network", "The server cannot be reached.", { cause });
      }
      throw new FetchEventSourceError("request", `A ${protocol} URL cannot be fetched here.`, { cause });
    } finally {
      clearTimeout(this.#idleTimer);
    }
  }

  #startIdleTimer() {
    if (this.#idleTimeout > 0) {
      this.#idleTimer = setTimeout(() => this.#giveUp(), Math.min(this.#idleTimeout, MAX_TIMER_MS));
    }
  }

  #giveUp() {
    this.abort(new FetchEventSourceError("idle", `Nothing came for ${this.#idleTimeout} ms.`));
  }

  /**
   * Reads the beginning of an error response's body.
   * @param {Response} response
   */
  async #readErrorBody({ body }) {
    if (typeof body?.getReader !== "function" || body.locked) {
      return "";
    }
    const reader = this.#createReader(body);
    const timer = setTimeout(() => cancel(reader), ERROR_BODY_TIMEOUT_MS);
    const decoder = new TextDecoder();
    let text = "";
    try {
      while (text.length < MAX_ERROR_BODY_CHARACTERS) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        text += decoder.decode(value, { stream: true });
      }
    } catch {
      // The connection broke. The status is known, and the part of the body that arrived may still say why.
    } finally {
      clearTimeout(timer);
      cancel(reader);
    }
    return text.slice(0, MAX_ERROR_BODY_CHARACTERS);
  }

  /**
   * Creates a reader that abort() wakes, even if the caller's fetch function ignores its signal.
   * @param {ReadableStream<Uint8Array>} body
   */
  #createReader(body) {
    const reader = body.getReader();
    const { signal } = this.#controller;
    signal.addEventListener("abort", () => cancel(reader));
    if (signal.aborted) {
      cancel(reader);
    }
    return reader;
  }
}

/** @param {ReadableStreamDefaultReader<Uint8Array>} reader */
async function cancel(reader) {
  try {
    await reader.cancel();
  } catch {
    // cancel() of a body that has failed is rejected with that failure, which read() has reported already.
  }
}

/**
 * Describes a response of the caller's fetch function whose body cannot be read.
 * @param {Response} response
 */
function unreadable({ status, headers, body, bodyUsed }) {
  const isTaken = bodyUsed || body?.locked;
  const reason = isTaken ? "something else reads its body, or has read it" : "its body is not a ReadableStream";
  return new FetchEventSourceError("response", `The response cannot be read: ${reason}.`, { status, headers });
}

/**
 * Returns what a body gave, if it is bytes. Their class may be that of another window or realm.
 * @param {unknown} value
 * @returns {Uint8Array}
 * @throws {FetchEventSourceError} of kind "response"
 */
function checkBytes(value) {
  if (value instanceof Uint8Array || Object.prototype.toString.call(value) === "[object Uint8Array]") {
    return /** @type {Uint8Array} */ (value);
  }
  const received = value === null ? "null" : typeof value;
  throw new FetchEventSourceError("response", `The response cannot be read: its body has ${received} in place of bytes.`);
}

/**
 * Returns a promise that is rejected with the signal's reason when it is aborted.
 * @param {AbortSignal} signal
 * @returns {Promise<never>}
 */
function rejectionOf(signal) {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}
