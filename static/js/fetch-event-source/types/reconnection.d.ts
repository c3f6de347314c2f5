export type FetchEventSourceError = import("./fetch-event-source-error.js").FetchEventSourceError;
export type ErrorKind = import("./fetch-event-source-error.js").ErrorKind;
export type ReconnectMode = "native" | "always" | "on-error" | "never";
/** Counts the failures of one source, and decides after each whether and when it reconnects. */
export declare class Reconnection {
    #private;
    /** @type {number | null} the server's latest `retry:`, in milliseconds */
    retry: number | null;
    /**
     * @param {ReconnectMode} mode
     * @param {number} maxRetries
     * @throws {TypeError} for an unknown mode
     */
    constructor(mode: ReconnectMode, maxRetries: number);
    /** Resets the count of failures, because an event arrived. */
    succeed(): void;
    /**
     * Sets the error's attempt, willRetry and delay.
     * @param {FetchEventSourceError} error
     */
    decide(error: FetchEventSourceError): void;
}
/**
 * Parses `Retry-After`: a number of seconds, or a date (RFC 9110, section 10.2.3).
 * @param {string} value
 * @returns {number} milliseconds from now, 0 for a date in the past and for any other value
 */
export declare function parseRetryAfter(value: string): number;
