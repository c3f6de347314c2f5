export type FetchEventSourceErrorEvent = import("./fetch-event-source-error.js").FetchEventSourceErrorEvent;
export type StringMessage = MessageEvent<string>;
export type ErrorOrMessage = FetchEventSourceErrorEvent | StringMessage;
export type Handler<T extends EventSourceTarget, E extends Event> = ((this: T, event: E) => unknown) | null;
/** @typedef {import("./fetch-event-source-error.js").FetchEventSourceErrorEvent} FetchEventSourceErrorEvent */
/** @typedef {MessageEvent<string>} StringMessage */
/**
 * A message arrives at `onerror` if the server named an event "error".
 * @typedef {FetchEventSourceErrorEvent | StringMessage} ErrorOrMessage
 */
/**
 * @template {EventSourceTarget} T
 * @template {Event} E
 * @typedef {((this: T, event: E) => unknown) | null} Handler
 */
/** An EventTarget with the states and the handler properties of an EventSource. */
export declare class EventSourceTarget extends EventTarget {
    #private;
    static get CONNECTING(): 0;
    static get OPEN(): 1;
    static get CLOSED(): 2;
    get CONNECTING(): 0;
    get OPEN(): 1;
    get CLOSED(): 2;
    /** @returns {Handler<this, Event>} */
    get onopen(): Handler<this, Event>;
    set onopen(handler: Handler<this, Event>);
    /** @returns {Handler<this, StringMessage>} */
    get onmessage(): Handler<this, StringMessage>;
    set onmessage(handler: Handler<this, StringMessage>);
    /** @returns {Handler<this, ErrorOrMessage>} */
    get onerror(): Handler<this, ErrorOrMessage>;
    set onerror(handler: Handler<this, ErrorOrMessage>);
    /**
     * Adds a listener, as EventTarget does; the overloads give each event its type.
     *
     * @overload
     * @param {"open"} type
     * @param {(event: Event) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {"error"} type
     * @param {(event: ErrorOrMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {(event: StringMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type: "open", listener: (event: Event) => unknown, options?: boolean | AddEventListenerOptions): void;
    /**
     * Adds a listener, as EventTarget does; the overloads give each event its type.
     *
     * @overload
     * @param {"open"} type
     * @param {(event: Event) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {"error"} type
     * @param {(event: ErrorOrMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {(event: StringMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type: "error", listener: (event: ErrorOrMessage) => unknown, options?: boolean | AddEventListenerOptions): void;
    /**
     * Adds a listener, as EventTarget does; the overloads give each event its type.
     *
     * @overload
     * @param {"open"} type
     * @param {(event: Event) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {"error"} type
     * @param {(event: ErrorOrMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {(event: StringMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type: string, listener: (event: StringMessage) => unknown, options?: boolean | AddEventListenerOptions): void;
    /**
     * Adds a listener, as EventTarget does; the overloads give each event its type.
     *
     * @overload
     * @param {"open"} type
     * @param {(event: Event) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {"error"} type
     * @param {(event: ErrorOrMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {(event: StringMessage) => unknown} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     *
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
