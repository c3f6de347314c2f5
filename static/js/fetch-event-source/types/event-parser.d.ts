export type ServerSentEvent = {
    /**
     * The type; "message" if the server did not name one.
     */
    event: string;
    /**
     * The data lines, joined by LF.
     */
    data: string;
    /**
     * The last event id, which stays until the server sets another.
     */
    id: string;
    /**
     * Milliseconds, if this event's block had a `retry:` line.
     */
    retry?: number;
};
export type EventParserOptions = {
    onEvent?: (event: ServerSentEvent) => void;
    /**
     * Receives the text after the colon, with its spaces.
     */
    onComment?: (comment: string) => void;
    /**
     * Receives each complete line, blank ones too, before it takes effect.
     */
    onLine?: (line: string) => void;
    /**
     * The last event id of an earlier connection.
     */
    lastEventId?: string;
    /**
     * The largest event in bytes, so that a stream without blank lines cannot fill the
     * memory. The default is 64 MiB.
     */
    maxEventSize?: number;
};
/** Thrown when an event exceeds `maxEventSize` before its blank line arrives. */
export declare class EventTooLargeError extends Error {
    name: string;
    /** @param {number} maxEventSize */
    constructor(maxEventSize: number);
}
/** Parses one stream: `feed()` takes its bytes, in pieces of any size, and calls back for each event. */
export declare class EventParser {
    #private;
    lastEventId: string;
    /** @type {number | null} */
    retry: number | null;
    /** @param {EventParserOptions} [options] */
    constructor({ onEvent, onComment, onLine, lastEventId, maxEventSize }?: EventParserOptions);
    /** Whether a line or a block is incomplete. At the end of a stream this means that the stream was cut. */
    get isUnfinished(): boolean;
    /**
     * Parses the next bytes of the stream. The end of the stream needs no call: the standard drops an incomplete block.
     * @param {Uint8Array} bytes any part of the stream
     * @throws {EventTooLargeError} after which the parser cannot be used any more
     */
    feed(bytes: Uint8Array): void;
}
