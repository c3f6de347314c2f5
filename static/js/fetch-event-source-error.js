// @ts-check
// How a connection of a FetchEventSource ended.

/**
 * - `network`: no answer came: no connection, a name that does not resolve, or forbidden by CORS (fetch does not tell which)
 * - `status`: any status but 200 and 204
 * - `no-content`: 204, with which a server says that there is nothing more to come
 * - `content-type`: 200 with something that is no `text/event-stream`, such as a proxy's HTML page
 * - `cut`: the body broke off, or ended in the middle of an event
 * - `end`: the body ended properly. Whether the answer was whole only its terminal event says
 * - `idle`: no byte came for `idleTimeout`
 * - `too-large`: an event exceeded `maxEventSize`
 * - `suspended`: the page was put into the back/forward cache
 * - `request`: the caller's headers or body function threw, or made what fetch cannot send
 *
 * @typedef {"network" | "status" | "no-content" | "content-type" | "cut" | "end" | "idle" | "too-large" | "suspended" |
 *   "request"} ErrorKind
 */

/**
 * @typedef {object} ErrorDetails
 * @property {number | null} [status]
 * @property {Headers | null} [headers]
 * @property {string | null} [body]
 * @property {unknown} [cause]
 */

export class FetchEventSourceError extends Error {
  name = "FetchEventSourceError";
  /** Whether another connection follows by itself. */
  willRetry = false;
  /** How many connections have ended since the last event, this one included. */
  attempt = 0;
  /** @type {number | null} milliseconds until the next connection, null if there is none */
  delay = null;

  /**
   * @param {ErrorKind} kind
   * @param {string} message
   * @param {ErrorDetails} [details]
   */
  constructor(kind, message, { status = null, headers = null, body = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    /** Of the answer; null if there was none. */
    this.status = status;
    /** Of the answer; null if there was none. */
    this.headers = headers;
    /** The beginning of a refusal's body, at most 64 KiB; null if there was no refusal. */
    this.body = body;
  }
}

/** Arrives at `onerror`. An event that the server named "error" arrives there, too, but is a MessageEvent. */
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
