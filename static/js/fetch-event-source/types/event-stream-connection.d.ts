export type Fetch = typeof globalThis.fetch;
/** Sends one request and reads its response. `abort()` ends every wait. */
export declare class EventStreamConnection {
    #private;
    /**
     * @param {Fetch} fetch
     * @param {number} idleTimeout milliseconds without a byte, 0 for no limit
     */
    constructor(fetch: Fetch, idleTimeout: number);
    get isAborted(): boolean;
    /**
     * Closes the connection.
     * @param {unknown} [reason] what open() or chunks() then throws
     */
    abort(reason?: unknown): void;
    /**
     * Sends the request.
     * @param {string} url
     * @param {RequestInit} request
     * @returns {Promise<Response>} a response with status 200 and an event stream
     * @throws {FetchEventSourceError | unknown} if there is no such response, or the reason of abort()
     */
    open(url: string, request: RequestInit): Promise<Response>;
    /**
     * Yields the body's chunks as they arrive, up to its proper end. Leaving the iteration closes the connection.
     * @param {Response} response
     * @returns {AsyncGenerator<Uint8Array, void, void>}
     * @throws {FetchEventSourceError | unknown} if the connection breaks, or the reason of abort()
     */
    chunks(response: Response): AsyncGenerator<Uint8Array, void, void>;
}
