// @ts-check
// One request of a FetchEventSource, and the body that answers it.

import { FetchEventSourceError } from "./fetch-event-source-error.js";

/** @typedef {typeof globalThis.fetch} Fetch */

const MAX_REFUSAL_CHARACTERS = 64 * 1024;
// A refusal is known with its headers; its body is worth a little waiting, not more.
const REFUSAL_BODY_TIMEOUT_MS = 2000;
// A longer timer would fire at once: its delay is a signed 32-bit number.
const MAX_TIMER_MS = 2 ** 31 - 1;

export class EventStreamConnection {
  #fetch;
  #idleTimeout;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idleTimer;
  #controller = new AbortController();

  /**
   * @param {Fetch} fetch
   * @param {number} idleTimeout milliseconds without a byte; 0: no limit
   */
  constructor(fetch, idleTimeout) {
    this.#fetch = fetch;
    this.#idleTimeout = idleTimeout;
  }

  get isAborted() {
    return this.#controller.signal.aborted;
  }

  /** @param {unknown} [reason] what open() or chunks() throws */
  abort(reason) {
    clearTimeout(this.#idleTimer);
    this.#controller.abort(reason);
  }

  /**
   * @param {string} url
   * @param {RequestInit} request
   * @returns {Promise<Response>} a 200 with an event stream
   * @throws {FetchEventSourceError | unknown} if there is no answer or another one; the reason of abort()
   */
  async open(url, request) {
    const response = await this.#request(url, request);
    const { status, headers } = response;
    if (status === 204) {
      throw new FetchEventSourceError("no-content", "The server has nothing more to send.", { status, headers });
    }
    const contentType = headers.get("Content-Type");
    const isEventStream = contentType?.split(";")[0].trim().toLowerCase() === "text/event-stream";
    if (status === 200 && isEventStream) {
      return response;
    }
    const body = await this.#readBeginning(response);
    const details = { status, headers, body };
    if (status !== 200) {
      throw new FetchEventSourceError("status", `The server answered with HTTP status ${status}.`, details);
    }
    const what = contentType ?? "something without a content type";
    throw new FetchEventSourceError("content-type", `The server sent ${what}, not text/event-stream.`, details);
  }

  /**
   * The body as it comes, up to its proper end. Whoever stops taking it closes the connection.
   *
   * @param {Response} response
   * @returns {AsyncGenerator<Uint8Array, void, void>}
   * @throws {FetchEventSourceError | unknown} if the body breaks off; the reason of abort()
   */
  async *chunks({ status, headers, body }) {
    if (body === null) {
      return;
    }
    const reader = this.#readerOf(body);
    try {
      for (;;) {
        this.#startIdleTimer();
        const { done, value } = await reader.read();
        clearTimeout(this.#idleTimer);
        this.#controller.signal.throwIfAborted();
        if (done) {
          return;
        }
        yield value;
      }
    } catch (cause) {
      this.#controller.signal.throwIfAborted();
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
      throw new FetchEventSourceError("network", "The server cannot be reached.", { cause });
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

  /** @param {Response} response */
  async #readBeginning({ body }) {
    if (body === null) {
      return "";
    }
    const reader = this.#readerOf(body);
    const timer = setTimeout(() => cancel(reader), REFUSAL_BODY_TIMEOUT_MS);
    const decoder = new TextDecoder();
    let text = "";
    try {
      while (text.length < MAX_REFUSAL_CHARACTERS) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        text += decoder.decode(value, { stream: true });
      }
    } catch {
      // It broke off. The refusal stands, and what has come of its body may still say why.
    } finally {
      clearTimeout(timer);
      cancel(reader);
    }
    return text.slice(0, MAX_REFUSAL_CHARACTERS);
  }

  /**
   * A reader that abort() wakes, whether or not the fetch function that was given to us heeds its signal.
   * @param {ReadableStream<Uint8Array>} body
   */
  #readerOf(body) {
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
function cancel(reader) {
  // Of a body that has failed it is rejected with that failure, which is known already.
  reader.cancel().catch(() => {});
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<never>}
 */
function rejectionOf(signal) {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}
