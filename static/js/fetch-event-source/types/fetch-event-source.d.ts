import { EventSourceTarget } from "./event-source-target.js";
import { FetchEventSourceError, FetchEventSourceErrorEvent } from "./fetch-event-source-error.js";
export { FetchEventSourceError, FetchEventSourceErrorEvent };
export type ServerSentEvent = import("./event-parser.js").ServerSentEvent;
export type ErrorOrMessage = import("./event-source-target.js").ErrorOrMessage;
export type StringMessage = import("./event-source-target.js").StringMessage;
export type Body = import("./event-stream-request.js").Body;
export type ErrorKind = import("./fetch-event-source-error.js").ErrorKind;
export type ReconnectMode = import("./reconnection.js").ReconnectMode;
export type FetchEventSourceOptions = {
    /**
     * The default is GET.
     */
    method?: string;
    /**
     * A function is called for every
     * connection.
     */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    /**
     * A plain object or an array is sent as JSON. A function is
     * called for every connection.
     */
    body?: Body | (() => Body | Promise<Body>);
    /**
     * The default is "same-origin".
     */
    credentials?: RequestCredentials;
    /**
     * EventSource's option: true means `credentials: "include"`.
     */
    withCredentials?: boolean;
    /**
     * Aborting it has the effect of `close()`.
     */
    signal?: AbortSignal;
    /**
     * A function to use in place of the global fetch.
     */
    fetch?: typeof globalThis.fetch;
    /**
     * The `Last-Event-ID` of the first request, to continue an earlier stream.
     */
    lastEventId?: string;
    /**
     * The default is "native" for GET and "never" for other methods; see the class.
     */
    reconnect?: ReconnectMode;
    /**
     * How many reconnections may follow each other without an event between them. The
     * default is Infinity.
     */
    maxRetries?: number;
    /**
     * Milliseconds without a byte after which the connection counts as lost. The default
     * is 0: no limit. Choose a value well above the interval of the server's keep-alive comments.
     */
    idleTimeout?: number;
    /**
     * The largest event in bytes. The default is 64 MiB.
     */
    maxEventSize?: number;
};
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
export declare class FetchEventSource extends EventSourceTarget {
    #private;
    /**
     * Starts connecting.
     * @param {string | URL} url relative to the document
     * @param {FetchEventSourceOptions} [options]
     * @throws {DOMException} a SyntaxError if the URL is not valid
     * @throws {TypeError} if fetch, or this class, does not accept an option
     */
    constructor(url: string | URL, options?: FetchEventSourceOptions);
    get url(): string;
    get withCredentials(): boolean;
    get readyState(): number;
    /** The id that a reconnection sends: that of the last event, or of a later block without data. */
    get lastEventId(): string;
    /** Closes the connection at once and for good. Events that were received and not dispatched yet are dropped. */
    close(): void;
    /**
     * Iterates over the events that arrive after the first call of `next()`.
     * @returns {AsyncGenerator<StringMessage, void, void>}
     */
    [Symbol.asyncIterator](): AsyncGenerator<StringMessage, void, void>;
}
