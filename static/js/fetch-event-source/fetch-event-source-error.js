// @ts-check
// The errors of a FetchEventSource: why a connection ended.

/** @typedef {"network" | "cut" | "idle" | "suspended"} FailureKind The kinds of a connection that was lost. */

/**
 * The reason for the end of a connection:
 *
 * - `network`: there was no response: no connection, an unknown host, or CORS forbids it (fetch does not tell which)
 * - `status`: the status was neither 200 nor 204
 * - `no-content`: the status was 204, which means that the server has nothing more to send
 * - `content-type`: the status was 200, but the body is not `text/event-stream`, such as a proxy's HTML page
 * - `cut`: the connection broke, or the body ended in the middle of an event
 * - `end`: the body ended properly; only a terminal event says whether the response was complete
 * - `idle`: no byte arrived for `idleTimeout`
 * - `too-large`: an event exceeded `maxEventSize`
 * - `suspended`: the page entered the back/forward cache
 * - `stopped`: a script of the page called `window.stop()`
 * - `request`: it can never be sent: the caller's headers or body function threw or returned a value that fetch cannot
 *   send, or the URL's scheme is not one that can be fetched
 * - `response`: the caller's fetch function returned a response that cannot be read, such as one whose body is locked
 *
 * @typedef {FailureKind | "status" | "no-content" | "content-type" | "end" | "too-large" | "stopped" | "request"
 *   | "response"} ErrorKind
 */

/**
 * @typedef {object} ErrorDetails
 * @property {number | null} [status]
 * @property {Headers | null} [headers]
 * @property {string | null} [body]
 * @property {unknown} [cause]
 */

/** The end of a connection: thrown by a `for await` loop, and the property `error` of an `error` event. */
export class FetchEventSourceError extends Error {
  name = "FetchEventSourceError";
  /** Whether the source reconnects by itself. */
  willRetry = false;
  /** How many connections have ended since the last event, this one included. */
  attempt = 0;
  /** @type {number | null} milliseconds until the reconnection, null if there is none */
  delay = null;

  /**
   * @param {ErrorKind} kind
   * @param {string} message
   * @param {ErrorDetails} [details]
   */
  constructor(kind, message, { status = null, headers = null, body = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    /** The status of the response; null without a response. */
    this.status = status;
    /** The headers of the response; null without a response. */
    this.headers = headers;
    /** The beginning of the body, at most 64 KiB, for the kinds "status" and "content-type"; otherwise null. */
    this.body = body;
  }
}

/** The event that `onerror` receives. An event that the server named "error" arrives there too, as a MessageEvent. */
export class FetchEventSourceErrorEvent extends Event {
  /** @param {FetchEventSourceError} error */
  constructor(error) {
    super("error");
    this.error = error;
    this.message = error.message;
    this.kind = error.kind;
    this.status = error.status;
    this.headers = error.headers;
    this.body = error.body;
    this.willRetry = error.willRetry;
    this.attempt = error.attempt;
    this.delay = error.delay;
  }
}
