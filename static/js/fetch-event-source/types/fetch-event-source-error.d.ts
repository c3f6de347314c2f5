export type FailureKind = "network" | "cut" | "idle" | "suspended";
export type ErrorKind = FailureKind | "status" | "no-content" | "content-type" | "end" | "too-large" | "stopped" | "request" | "response";
export type ErrorDetails = {
    status?: number | null;
    headers?: Headers | null;
    body?: string | null;
    cause?: unknown;
};
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
export declare class FetchEventSourceError extends Error {
    kind: ErrorKind;
    /** The status of the response; null without a response. */
    status: number | null;
    /** The headers of the response; null without a response. */
    headers: Headers | null;
    /** The beginning of the body, at most 64 KiB, for the kinds "status" and "content-type"; otherwise null. */
    body: string | null;
    name: string;
    /** Whether the source reconnects by itself. */
    willRetry: boolean;
    /** How many connections have ended since the last event, this one included. */
    attempt: number;
    /** @type {number | null} milliseconds until the reconnection, null if there is none */
    delay: number | null;
    /**
     * @param {ErrorKind} kind
     * @param {string} message
     * @param {ErrorDetails} [details]
     */
    constructor(kind: ErrorKind, message: string, { status, headers, body, cause }?: ErrorDetails);
}
/** The event that `onerror` receives. An event that the server named "error" arrives there too, as a MessageEvent. */
export declare class FetchEventSourceErrorEvent extends Event {
    error: FetchEventSourceError;
    message: string;
    kind: ErrorKind;
    status: number | null;
    headers: Headers | null;
    body: string | null;
    willRetry: boolean;
    attempt: number;
    delay: number | null;
    /** @param {FetchEventSourceError} error */
    constructor(error: FetchEventSourceError);
}
