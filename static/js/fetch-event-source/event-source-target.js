// @ts-check
// The interface of EventSource that does not depend on the transport: states, listeners, and handler properties.

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
export class EventSourceTarget extends EventTarget {
  // Getters, because the states of an EventSource cannot be assigned to.
  static get CONNECTING() {
    return /** @type {const} */ (0);
  }

  static get OPEN() {
    return /** @type {const} */ (1);
  }

  static get CLOSED() {
    return /** @type {const} */ (2);
  }

  get CONNECTING() {
    return EventSourceTarget.CONNECTING;
  }

  get OPEN() {
    return EventSourceTarget.OPEN;
  }

  get CLOSED() {
    return EventSourceTarget.CLOSED;
  }

  /** @type {Record<string, Handler<any, any>>} */
  #handlers = {};

  /** @returns {Handler<this, Event>} */
  get onopen() {
    return this.#handlers.open ?? null;
  }

  set onopen(handler) {
    this.#setHandler("open", handler);
  }

  /** @returns {Handler<this, StringMessage>} */
  get onmessage() {
    return this.#handlers.message ?? null;
  }

  set onmessage(handler) {
    this.#setHandler("message", handler);
  }

  /** @returns {Handler<this, ErrorOrMessage>} */
  get onerror() {
    return this.#handlers.error ?? null;
  }

  set onerror(handler) {
    this.#setHandler("error", handler);
  }

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
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
  }

  /**
   * @param {string} type
   * @param {Handler<any, any>} handler
   */
  #setHandler(type, handler) {
    // HTML standard, "event handlers": a handler keeps the position among the listeners that it had first.
    if (!(type in this.#handlers)) {
      super.addEventListener(type, (event) => this.#handlers[type]?.call(this, event));
    }
    this.#handlers[type] = typeof handler === "function" ? handler : null;
  }
}
