// @ts-check
// An EventSource over fetch: any method, headers and body, and errors that say what happened.

import { EventParser, EventTooLargeError } from "./event-parser.js";
import { EventQueue } from "./event-queue.js";
import { EventSourceTarget } from "./event-source-target.js";
import { EventStreamConnection } from "./event-stream-connection.js";
import { createRequest, resolveURL } from "./event-stream-request.js";
import { FetchEventSourceError, FetchEventSourceErrorEvent } from "./fetch-event-source-error.js";
import { observePage } from "./page-lifecycle.js";
import { Reconnection } from "./reconnection.js";
export { FetchEventSourceError, FetchEventSourceErrorEvent };

/** @typedef {import("./event-parser.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("./event-source-target.js").ErrorOrMessage} ErrorOrMessage */
/** @typedef {import("./event-source-target.js").StringMessage} StringMessage */
/** @typedef {import("./event-stream-request.js").Body} Body */
/** @typedef {import("./fetch-event-source-error.js").ErrorKind} ErrorKind */
/** @typedef {import("./reconnection.js").ReconnectMode} ReconnectMode */

/**
 * @typedef {object} FetchEventSourceOptions
 * @property {string} [method] The default is GET.
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] A function is called for every
 *   connection.
 * @property {Body | (() => Body | Promise<Body>)} [body] A plain object or an array is sent as JSON. A function is
 *   called for every connection.
 * @property {RequestCredentials} [credentials] The default is "same-origin".
 * @property {boolean} [withCredentials] EventSource's option: true means `credentials: "include"`.
 * @property {AbortSignal} [signal] Aborting it has the effect of `close()`.
 * @property {typeof globalThis.fetch} [fetch] A function to use in place of the global fetch.
 * @property {string} [lastEventId] The `Last-Event-ID` of the first request, to continue an earlier stream.
 * @property {ReconnectMode} [reconnect] The default is "native" for GET and "never" for other methods; see the class.
 * @property {number} [maxRetries] How many reconnections may follow each other without an event between them. The
 *   default is Infinity.
 * @property {number} [idleTimeout] Milliseconds without a byte after which the connection counts as lost. The default
 *   is 0: no limit. Choose a value well above the interval of the server's keep-alive comments.
 * @property {number} [maxEventSize] The largest event in bytes. The default is 64 MiB.
 */

const { CONNECTING, OPEN, CLOSED } = EventSourceTarget;

/**
 * Reads a stream of server-sent events, with the interface of EventSource: `onopen`, `onmessage`, `onerror`,
 * `addEventListener(name, …)` for named events, `close()`. It can also be iterated: `for await (const event of source)`
 * gives every event, whatever its name, applies back-pressure while the loop's body runs, and closes the connection when
 * the loop is left.
 *
 * The option `reconnect` says what follows the end of a connection:
 *
 * | | lost (network, cut, idle) | body ended | 429, 502, 503, 504 | other statuses, 204 |
 * |---|---|---|---|---|
 * | "native" | reconnects | reconnects | closes | closes |
 * | "always" | reconnects | reconnects | reconnects | closes |
 * | "on-error" | reconnects | closes | reconnects | closes |
 * | "never" | closes | closes | closes | closes |
 *
 * Each end of a connection, except the one by `close()`, dispatches an `error` event with its kind; where `willRetry`
 * is false, the source is CLOSED. This includes a body that ends properly (kind "end"), because HTTP cannot tell
 * whether the response was complete: a proxy may have turned a broken body into a properly ended one. A caller that
 * knows the terminal event (`[DONE]`, `event: done`) calls `close()` when it arrives. No error follows then, and any
 * error means that the response is incomplete. A `for await` loop ends after "end" and after 204, and throws any other
 * final error; its caller checks whether the terminal event arrived.
 *
 * A reconnection sends `Last-Event-ID`. It waits for the time that the server asked for (`retry:`, `Retry-After`) and
 * then for a random part of a window, which doubles with every failure up to 30 s and is reset by every event.
 *
 * When a connection breaks, fetch drops bytes that it has received and that were not read yet; EventSource would still
 * have dispatched their events. The last event id does not move past them, so a reconnection brings them again.
 *
 * A page that enters the back/forward cache loses its connection, and reconnects when it is shown again. Hiding a tab
 * has no effect. `window.stop()` closes a source that is connected or connecting.
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
  /** @type {Promise<unknown>} pending while the page is in the back/forward cache */
  #whenShown = Promise.resolve();
  /** @type {FetchEventSourceError | null} */
  #finalError = null;
  /** @type {Set<EventQueue>} one for each `for await` loop */
  #queues = new Set();

  /**
   * Starts connecting.
   * @param {string | URL} url relative to the document
   * @param {FetchEventSourceOptions} [options]
   * @throws {DOMException} a SyntaxError if the URL is not valid
   * @throws {TypeError} if fetch, or this class, does not accept an option
   */
  constructor(url, options = {}) {
    super();
    this.#url = resolveURL(url);
    const { method } = new Request(this.#url, { method: options.method });
    if (["GET", "HEAD"].includes(method) && options.body !== undefined) {
      throw new TypeError(`a ${method} request has no body; did you mean method: "POST"?`);
    }
    const credentials = options.credentials ?? (options.withCredentials ? "include" : "same-origin");
    this.#request = { method, headers: options.headers, body: options.body, credentials };
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#idleTimeout = options.idleTimeout ?? 0;
    this.#maxEventSize = options.maxEventSize;
    this.#lastEventId = options.lastEventId ?? "";
    const mode = options.reconnect ?? (method === "GET" ? "native" : "never");
    this.#reconnection = new Reconnection(mode, options.maxRetries ?? Infinity);
    this.#observe(options.signal);
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

  /** The id that a reconnection sends: that of the last event, or of a later block without data. */
  get lastEventId() {
    return this.#lastEventId;
  }

  /** Closes the connection at once and for good. Events that were received and not dispatched yet are dropped. */
  close() {
    if (this.#readyState !== CLOSED) {
      this.#end(null);
    }
    this.#connection?.abort();
    this.#queues.forEach((queue) => queue.close());
  }

  /**
   * Iterates over the events that arrive after the first call of `next()`.
   * @returns {AsyncGenerator<StringMessage, void, void>}
   */
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

  /**
   * Closes the source when the signal is aborted, and its connection with those of the page.
   * @param {AbortSignal | undefined} signal
   */
  #observe(signal) {
    const closing = this.#closing.signal;
    signal?.addEventListener("abort", () => this.close(), { signal: closing });
    if (signal?.aborted) {
      this.close();
      return;
    }
    const onStop = () => this.#connection?.abort(new FetchEventSourceError("stopped", "window.stop() was called."));
    const onCache = (/** @type {Promise<unknown>} */ whenShown) => {
      this.#whenShown = whenShown;
      this.#connection?.abort(new FetchEventSourceError("suspended", "The page was put into the back/forward cache."));
    };
    observePage({ onStop, onCache }, closing);
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
   * Runs one connection from its request to its end.
   * @throws {FetchEventSourceError | unknown} always: the reason of the end. After close() it may be anything.
   */
  async #connect() {
    const connection = new EventStreamConnection(this.#fetch, this.#idleTimeout);
    this.#connection = connection;
    const request = await createRequest(this.#request, this.#lastEventId);
    const response = await connection.open(this.#url, request);
    this.#readyState = OPEN;
    this.dispatchEvent(new Event("open"));

    // A response that the caller's own fetch function constructed may have no URL.
    const { origin } = new URL(response.url || this.#url);
    const parser = new EventParser({
      onEvent: (event) => connection.isAborted || this.#take(event, origin),
      lastEventId: this.#lastEventId,
      maxEventSize: this.#maxEventSize,
    });
    for await (const bytes of connection.chunks(response)) {
      parser.feed(bytes);
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

  /** @param {unknown} reason */
  async #recover(reason) {
    if (this.#readyState === CLOSED) {
      return;
    }
    const error = asError(reason);
    this.#reconnection.decide(error);
    if (error.willRetry) {
      this.#readyState = CONNECTING;
    } else {
      this.#end(error);
    }
    this.dispatchEvent(new FetchEventSourceErrorEvent(error));
    if (this.#readyState === CONNECTING) {
      // close() clears the timer. This promise then stays pending, and is garbage collected with its continuation.
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
 * Returns the reason for the end of a connection, as one of our errors. What is neither that nor an event that is too
 * large is due to a response that the caller's fetch function made up, such as one without headers.
 * @param {unknown} reason
 */
function asError(reason) {
  if (reason instanceof FetchEventSourceError) {
    return reason;
  }
  const kind = reason instanceof EventTooLargeError ? "too-large" : "response";
  const message = reason instanceof Error ? reason.message : String(reason);
  return new FetchEventSourceError(kind, `The ${kind === "response" ? kind : "stream"} cannot be read: ${message}.`, {
    cause: reason,
  });
}
