/** Passes events to one loop, in order, and tells the writer when the loop has taken them. */
export declare class EventQueue {
    #private;
    /** @param {MessageEvent<string>} event */
    push(event: MessageEvent<string>): void;
    /**
     * Ends the queue. The loop still gets the queued events.
     * @param {Error | null} error thrown in the loop after the last event
     */
    end(error: Error | null): void;
    /** Ends the queue and drops the queued events. */
    close(): void;
    /** Waits until the loop has taken all events and asks for another: this is the back-pressure. */
    whenTaken(): Promise<void>;
    /** @returns {AsyncGenerator<MessageEvent<string>, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<MessageEvent<string>, void, void>;
}
