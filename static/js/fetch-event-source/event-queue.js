// @ts-check
// The queue between a FetchEventSource and a `for await` loop over it.

/** Passes events to one loop, in order, and tells the writer when the loop has taken them. */
export class EventQueue {
  /** @type {MessageEvent<string>[]} */
  #events = [];
  #hasEnded = false;
  /** @type {Error | null} */
  #error = null;
  // Each wakes the side that waits; without a waiting side it has no effect.
  #wakeReader = () => {};
  #wakeWriter = () => {};

  /** @param {MessageEvent<string>} event */
  push(event) {
    this.#events.push(event);
    this.#wakeReader();
  }

  /**
   * Ends the queue. The loop still gets the queued events.
   * @param {Error | null} error thrown in the loop after the last event
   */
  end(error) {
    this.#hasEnded = true;
    this.#error = error;
    this.#wakeReader();
  }

  /** Ends the queue and drops the queued events. */
  close() {
    this.#events = [];
    this.end(null);
  }

  /** Waits until the loop has taken all events and asks for another: this is the back-pressure. */
  async whenTaken() {
    if (this.#events.length > 0) {
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
        this.#wakeWriter = resolve;
      });
    }
  }

  /** @returns {AsyncGenerator<MessageEvent<string>, void, void>} */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        yield event;
      }
      this.#wakeWriter();
      if (this.#error !== null) {
        throw this.#error;
      }
      if (this.#hasEnded) {
        return;
      }
      await new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }
}
