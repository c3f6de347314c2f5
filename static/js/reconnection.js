// @ts-check
// Whether a FetchEventSource connects again, and when.

/** @typedef {import("./fetch-event-source-error.js").FetchEventSourceError} FetchEventSourceError */
/** @typedef {import("./fetch-event-source-error.js").ErrorKind} ErrorKind */

/** @typedef {"native" | "always" | "on-error" | "never"} ReconnectMode */

// Nobody answered, or the answer broke off.
const FAILURES = /** @type {ErrorKind[]} */ (["network", "cut", "idle", "suspended"]);
// Refusals that pass: too many requests; a gateway without, overloaded by, or out of patience with its upstream.
const TRANSIENT_STATUSES = [429, 502, 503, 504];

/** @type {Record<ReconnectMode, {kinds: ErrorKind[], transientStatuses: boolean}>} */
const MODES = {
  native: { kinds: [...FAILURES, "end"], transientStatuses: false },
  always: { kinds: [...FAILURES, "end"], transientStatuses: true },
  "on-error": { kinds: FAILURES, transientStatuses: true },
  never: { kinds: [], transientStatuses: false },
};

const DEFAULT_RETRY_MS = 1000;
// `retry: 0` must not make a loop without a pause.
const MIN_WINDOW_MS = 100;
const MAX_WINDOW_MS = 30_000;
// A longer timer would fire at once: its delay is a signed 32-bit number.
const MAX_DELAY_MS = 2 ** 31 - 1;
const ASCII_DIGITS = /^[0-9]+$/;

export class Reconnection {
  /** @type {number | null} the reconnection time that the server asked for last, in milliseconds */
  retry = null;
  #mode;
  #maxRetries;
  #attempt = 0;

  /**
   * @param {ReconnectMode} mode
   * @param {number} maxRetries
   * @throws {TypeError} for a mode that there is not
   */
  constructor(mode, maxRetries) {
    if (!Object.hasOwn(MODES, mode)) {
      throw new TypeError(`reconnect is ${JSON.stringify(mode)}; it takes one of ${Object.keys(MODES).join(", ")}`);
    }
    this.#mode = MODES[mode];
    this.#maxRetries = maxRetries;
  }

  /** An event has come: the next failure is the first one again. */
  succeed() {
    this.#attempt = 0;
  }

  /**
   * Fills in what follows from the end of a connection.
   * @param {FetchEventSourceError} error
   */
  decide(error) {
    // Not the server's failure, and over by the time that one knows of it.
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
   * Never before what the server asked for; on top of that anything up to a window that doubles, so that the clients of
   * a server that went down do not come back together ("full jitter").
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
 * RFC 9110, section 10.2.3: seconds, or a date.
 * @param {string} value
 * @returns {number} milliseconds from now; 0 for what is neither, or past
 */
export function parseRetryAfter(value) {
  if (ASCII_DIGITS.test(value)) {
    return Number(value) * 1000;
  }
  // Date.parse() alone takes much else: "1.5" is a day in January.
  return value.endsWith("GMT") ? Math.max(Date.parse(value) - Date.now(), 0) || 0 : 0;
}
