// @ts-check
// EventSource over fetch: any method, headers and body, and errors that say what happened.

import { EventParser, EventTooLargeError } from "./event-parser.js";
import { EventQueue } from "./event-queue.js";
import { EventSourceTarget } from "./event-source-target.js";
import { EventStreamConnection } from "./event-stream-connection.js";
import { createRequest } from "./event-stream-request.js";
import { FetchEventSourceError, FetchEventSourceErrorEvent } from "./fetch-event-source-error.js";
import { Reconnection } from "./reconnection.js";

export { FetchEventSourceError, FetchEventSourceErrorEvent };

/** @typedef {import("./event-parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event-source-target.js").StringMessage} StringMessage */
/** @typedef {import("./event-stream-request.js").Body} Body */

/**
 * @typedef {object} FetchEventSourceOptions
 * @property {string} [method] GET unless given
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] a function is called for every connection
 * @property {Body | (() => Body | Promise<Body>)} [body] a plain object or an array is sent as JSON; a function is called for
 *   every connection
 * @property {RequestCredentials} [credentials] "same-origin" unless given
 * @property {boolean} [withCredentials] as EventSource has it: true is `credentials: "include"`
 * @property {AbortSignal} [signal] aborting it is close()
 * @property {typeof globalThis.fetch} [fetch] used in place of the global one
 * @property {string} [lastEventId] where to begin: the `Last-Event-ID` of the first request
 * @property {import("./reconnection.js").ReconnectMode} [reconnect] "native" for GET, else "never"; see the class
 * @property {number} [maxRetries] reconnections in a row without an event between them; Infinity unless given
 * @property {number} [idleTimeout] milliseconds without a byte after which a connection counts as lost; 0, none, unless
 *   given. Choose it well above the time between the server's keep-alives
 * @property {number} [maxEventSize] bytes that one event may take; 64 MiB unless given
 */

const { CONNECTING, OPEN, CLOSED } = EventSourceTarget;

/**
 * Used as EventSource is: `onopen`, `onmessage`, `onerror`, `addEventListener(name, …)` for named events, `close()`. Or
 * `for await (const event of source)`, which gives every event, whatever its name, holds the stream back while its body
 * is busy, and closes the connection when it is left.
 *
 * What a connection's end leads to is `reconnect`:
 *
 * | | lost (network, cut, idle) | body ended | 429, 502, 503, 504 | other refusals, 204 |
 * |---|---|---|---|---|
 * | "native" | reconnects | reconnects | closes | closes |
 * | "always" | reconnects | reconnects | reconnects | closes |
 * | "on-error" | reconnects | closes | reconnects | closes |
 * | "never" | closes | closes | closes | closes |
 *
 * Every end, but that by close(), is an `error` event that carries its kind; with `willRetry` false the source is CLOSED.
 * That holds for a body that ends properly, too (kind "end"): HTTP cannot tell whether the answer in it was whole, a proxy
 * may have made an orderly end out of a broken one. Whoever knows the terminal event (`[DONE]`, `event: done`) calls
 * close() when it has come; then no error follows, and any error means that the answer is not whole. `for await` ends
 * after "end" and 204 and throws any other final error; whether the terminal event was there is for its caller to see.
 *
 * A reconnection sends `Last-Event-ID`. It waits at least as long as the server asked for (`retry:`, `Retry-After`) and,
 * on top of that, a random part of a time that doubles with every failure up to 30 s and starts anew with every event.
 *
 * When a connection breaks, fetch drops what has come but was not read yet, which EventSource would still have seen. The
 * last event id stays where it was then, so that a reconnection brings it again.
 *
 * A page that goes into the back/forward cache loses its connection, and reconnects when it is shown again. Nothing
 * happens when a tab is hidden.
 */
export class FetchEventSource extends EventSourceTarget {
  #url;
  #fetch;
  #request;
  #idleTimeout;
  #maxEventSize;
  #lastEventId;
  #reconnection;
  /** @type {number} */
  #readyState = CONNECTING;
  #closing = new AbortController();
  /** @type {EventStreamConnection | null} */
  #connection = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reconnectTimer;
  /** @type {Promise<unknown>} settled unless the page is in the back/forward cache */
  #whenShown = Promise.resolve();
  /** @type {FetchEventSourceError | null} */
  #finalError = null;
  /** @type {Set<EventQueue>} of the loops that iterate */
  #queues = new Set();

  /**
   * @param {string | URL} url relative to the document
   * @param {FetchEventSourceOptions} [options]
   * @throws {DOMException} SyntaxError, for a URL that is none
   * @throws {TypeError} for options that fetch, or this class, cannot take
   */
  constructor(url, options = {}) {
    super();
    this.#url = resolve(url);
    const { method } = new Request(this.#url, { method: options.method });
    if (["GET", "HEAD"].includes(method) && options.body !== undefined) {
      throw new TypeError(`a ${method} has no body; did you mean method: "POST"?`);
    }
    const credentials = options.credentials ?? (options.withCredentials ? "include" : "same-origin");
    this.#request = { method, headers: options.headers, body: options.body, credentials };
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#idleTimeout = options.idleTimeout ?? 0;
    this.#maxEventSize = options.maxEventSize;
    this.#lastEventId = options.lastEventId ?? "";
    const mode = options.reconnect ?? (method === "GET" ? "native" : "never");
    this.#reconnection = new Reconnection(mode, options.maxRetries ?? Infinity);
    this.#heed(options.signal);
    this.#run();
  }

  get url() {
    return this.#url;
  }

  get withCredentials() {
    return this.#request.credentials === "include";
  }

  get readyState() {
    return this.#readyState;
  }

  /** What a reconnection continues after: the id of the last event, or of a block without data behind it. */
  get lastEventId() {
    return this.#lastEventId;
  }

  /** For good, at once: also the rest of what has already come is dropped. */
  close() {
    if (this.#readyState !== CLOSED) {
      this.#end(null);
    }
    this.#connection?.abort();
    this.#queues.forEach((queue) => queue.close());
  }

  /** @returns {AsyncGenerator<StringMessage, void, void>} events from the first next() on */
  async *[Symbol.asyncIterator]() {
    const queue = new EventQueue();
    if (this.#readyState === CLOSED) {
      queue.end(this.#finalError);
    }
    this.#queues.add(queue);
    try {
      yield* queue;
    } finally {
      this.close();
    }
  }

  /** @param {AbortSignal | undefined} signal */
  #heed(signal) {
    const options = { signal: this.#closing.signal };
    signal?.addEventListener("abort", () => this.close(), options);
    if (signal?.aborted) {
      this.close();
    } else if ("onpagehide" in globalThis) {
      globalThis.addEventListener("pagehide", (event) => this.#suspend(event), options);
    }
  }

  /** @param {PageTransitionEvent} event */
  #suspend({ persisted }) {
    if (persisted) {
      this.#whenShown = new Promise((resolve) => {
        globalThis.addEventListener("pageshow", resolve, { once: true, signal: this.#closing.signal });
      });
      this.#connection?.abort(new FetchEventSourceError("suspended", "The page was put into the back/forward cache."));
    }
  }

  async #run() {
    for (;;) {
      await this.#whenShown;
      if (this.#readyState === CLOSED) {
        return;
      }
      try {
        await this.#connect();
      } catch (error) {
        await this.#whenShown;
        await this.#recover(error);
      }
    }
  }

  /**
   * One connection, from its request to its end.
   * @throws {FetchEventSourceError | unknown} how it ended, always; anything after close()
   */
  async #connect() {
    const connection = new EventStreamConnection(this.#fetch, this.#idleTimeout);
    this.#connection = connection;
    const request = await createRequest(this.#request, this.#lastEventId);
    const response = await connection.open(this.#url, request);
    this.#readyState = OPEN;
    this.dispatchEvent(new Event("open"));

    // Of an answer made by the caller's own fetch there may be no URL.
    const { origin } = new URL(response.url || this.#url);
    const parser = new EventParser({
      onEvent: (event) => connection.isAborted || this.#take(event, origin),
      lastEventId: this.#lastEventId,
      maxEventSize: this.#maxEventSize,
    });
    for await (const bytes of connection.chunks(response)) {
      feed(parser, bytes);
      if (!connection.isAborted) {
        this.#lastEventId = parser.lastEventId;
        this.#reconnection.retry = parser.retry ?? this.#reconnection.retry;
      }
      await Promise.all(Array.from(this.#queues, (queue) => queue.whenTaken()));
    }
    const { status, headers } = response;
    if (parser.isUnfinished) {
      throw new FetchEventSourceError("cut", "The stream ended in the middle of an event.", { status, headers });
    }
    throw new FetchEventSourceError("end", "The stream ended.", { status, headers });
  }

  /**
   * @param {ServerSentEvent} event
   * @param {string} origin
   */
  #take({ event: type, data, id }, origin) {
    this.#lastEventId = id;
    this.#reconnection.succeed();
    const message = new MessageEvent(type, { data, lastEventId: id, origin });
    this.#queues.forEach((queue) => queue.push(message));
    this.dispatchEvent(message);
  }

  /** @param {unknown} error */
  async #recover(error) {
    if (this.#readyState === CLOSED) {
      return;
    }
    if (!(error instanceof FetchEventSourceError)) {
      this.close();
      throw error;
    }
    this.#reconnection.decide(error);
    if (error.willRetry) {
      this.#readyState = CONNECTING;
    } else {
      this.#end(error);
    }
    this.dispatchEvent(new FetchEventSourceErrorEvent(error));
    if (this.#readyState === CONNECTING) {
      // close() clears the timer, and what waits for it is forgotten.
      await new Promise((resolve) => {
        this.#reconnectTimer = setTimeout(resolve, error.delay ?? 0);
      });
    }
  }

  /** @param {FetchEventSourceError | null} error */
  #end(error) {
    this.#readyState = CLOSED;
    this.#closing.abort();
    clearTimeout(this.#reconnectTimer);
    const isProper = error?.kind === "end" || error?.kind === "no-content";
    this.#finalError = isProper ? null : error;
    this.#queues.forEach((queue) => queue.end(this.#finalError));
  }
}

/**
 * @param {string | URL} url
 * @returns {string}
 */
function resolve(url) {
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    throw new DOMException(`${url} is not a URL`, "SyntaxError");
  }
}

/**
 * @param {EventParser} parser
 * @param {Uint8Array} bytes
 * @throws {FetchEventSourceError} of kind "too-large"
 */
function feed(parser, bytes) {
  try {
    parser.feed(bytes);
  } catch (cause) {
    if (cause instanceof EventTooLargeError) {
      throw new FetchEventSourceError("too-large", `The server sent what is too large: ${cause.message}.`, { cause });
    }
    throw cause;
  }
}
