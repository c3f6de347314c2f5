// @ts-check
// What `for await` over a FetchEventSource takes its events from.

export class EventQueue {
  /** @type {MessageEvent<string>[]} */
  #events = [];
  #hasEnded = false;
  /** @type {Error | null} */
  #error = null;
  // Of the side that waits, if one does.
  #wakeReader = () => {};
  #wakeWriter = () => {};

  /** @param {MessageEvent<string>} event */
  push(event) {
    this.#events.push(event);
    this.#wakeReader();
  }

  /**
   * Events that wait are still handed out.
   * @param {Error | null} error thrown to the reader behind the last event
   */
  end(error) {
    this.#hasEnded = true;
    this.#error = error;
    this.#wakeReader();
  }

  /** Events that wait are dropped. */
  close() {
    this.#events = [];
    this.end(null);
  }

  /** Until the reader asks for more than is there: back-pressure. */
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
