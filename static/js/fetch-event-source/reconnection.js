// @ts-check
// The decision whether a FetchEventSource reconnects, and when.

/** @typedef {import("./fetch-event-source-error.js").FetchEventSourceError} FetchEventSourceError */
/** @typedef {import("./fetch-event-source-error.js").ErrorKind} ErrorKind */

/** @typedef {"native" | "always" | "on-error" | "never"} ReconnectMode */

// There was no response, or its connection was lost.
const FAILURES = /** @type {ErrorKind[]} */ (["network", "cut", "idle", "suspended"]);
// Too Many Requests, Bad Gateway, Service Unavailable, Gateway Timeout: a later request may succeed.
const TRANSIENT_STATUSES = [429, 502, 503, 504];

/** @type {Record<ReconnectMode, {kinds: ErrorKind[], transientStatuses: boolean}>} */
const MODES = {
  native: { kinds: [...FAILURES, "end"], transientStatuses: false },
  always: { kinds: [...FAILURES, "end"], transientStatuses: true },
  "on-error": { kinds: FAILURES, transientStatuses: true },
  never: { kinds: [], transientStatuses: false },
};

const DEFAULT_RETRY_MS = 1000;
// With `retry: 0` the source must not reconnect in a busy loop.
const MIN_WINDOW_MS = 100;
const MAX_WINDOW_MS = 30_000;
// The delay of a timer is a signed 32-bit number; a larger one fires at once.
const MAX_DELAY_MS = 2 ** 31 - 1;
const ASCII_DIGITS = /^[0-9]+$/;

/** Counts the failures of one source, and decides after each whether and when it reconnects. */
export class Reconnection {
  /** @type {number | null} the server's latest `retry:`, in milliseconds */
  retry = null;
  #mode;
  #maxRetries;
  #attempt = 0;

  /**
   * @param {ReconnectMode} mode
   * @param {number} maxRetries
   * @throws {TypeError} for an unknown mode
   */
  constructor(mode, maxRetries) {
    if (!Object.hasOwn(MODES, mode)) {
      throw new TypeError(`reconnect is ${JSON.stringify(mode)}; it must be one of ${Object.keys(MODES).join(", ")}`);
    }
    this.#mode = MODES[mode];
    this.#maxRetries = maxRetries;
  }

  /** Resets the count of failures, because an event arrived. */
  succeed() {
    this.#attempt = 0;
  }

  /**
   * Sets the error's attempt, willRetry and delay.
   * @param {FetchEventSourceError} error
   */
  decide(error) {
    // A page in the back/forward cache is not the server's fault, and the error arrives after the page is back.
    const suspended = error.kind === "suspended";
    this.#attempt += suspended ? 0 : 1;
    error.attempt = this.#attempt;
    error.willRetry = this.#covers(error) && this.#attempt <= this.#maxRetries;
    if (error.willRetry) {
      error.delay = suspended ? 0 : this.#delayAfter(error);
    }
  }

  /** @param {FetchEventSourceError} error */
  #covers({ kind, status }) {
    const { kinds, transientStatuses } = this.#mode;
    const isTransient = kind === "status" && status !== null && TRANSIENT_STATUSES.includes(status);
    return kinds.includes(kind) || (transientStatuses && isTransient);
  }

  /**
   * Returns the time that the server asked for, plus a random part of a window that doubles with each failure ("full
   * jitter"), so that the clients of a server that was restarted do not reconnect all at once.
   * @param {FetchEventSourceError} error
   */
  #delayAfter(error) {
    const askedFor = Math.max(this.retry ?? 0, parseRetryAfter(error.headers?.get("Retry-After") ?? ""));
    const firstWindow = Math.max(this.retry ?? DEFAULT_RETRY_MS, MIN_WINDOW_MS);
    const window = Math.min(firstWindow * 2 ** (this.#attempt - 1), MAX_WINDOW_MS);
    return Math.min(askedFor + Math.random() * window, MAX_DELAY_MS);
  }
}

/**
 * Parses `Retry-After`: a number of seconds, or a date (RFC 9110, section 10.2.3).
 * @param {string} value
 * @returns {number} milliseconds from now, 0 for a date in the past and for any other value
 */
export function parseRetryAfter(value) {
  if (ASCII_DIGITS.test(value)) {
    return Number(value) * 1000;
  }
  // Date.parse() alone accepts too much: it takes "1.5" for a day in January.
  return value.endsWith("GMT") ? Math.max(Date.parse(value) - Date.now(), 0) || 0 : 0;
}
