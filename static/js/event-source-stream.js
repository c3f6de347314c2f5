// @ts-check
// The browser's own way: a native EventSource, which reconnects with Last-Event-ID by itself, `event: done` at the end.

import { parseJSON } from "./json.js";

/** @typedef {import("./transport.js").StreamCallbacks} StreamCallbacks */
/** @typedef {import("./transport.js").StreamError} StreamError */

export class EventSourceStream {
  #callbacks;
  #source;
  #shownId = "";

  /**
   * @param {string} url
   * @param {StreamCallbacks} callbacks
   */
  constructor(url, callbacks) {
    this.#callbacks = callbacks;
    callbacks.onWire(`GET ${url}`, "note");
    const source = new EventSource(url);
    this.#source = source;
    source.addEventListener("open", () => callbacks.onOpen());
    source.addEventListener("message", (event) => this.#takeMessage(event));
    source.addEventListener("done", (event) => this.#takeDone(event));
    source.addEventListener("reset", (event) => this.#takeReset(event));
    source.addEventListener("error", (event) => {
      // Two things arrive here: an event that the server named "error", which has data, and the browser's own.
      if (event instanceof MessageEvent) {
        this.#takeError(event);
      } else {
        this.#connectionLost();
      }
    });
  }

  stop() {
    this.#source.close();
  }

  /** @param {MessageEvent} message */
  #takeMessage(message) {
    this.#show(message);
    const text = parseJSON(message.data)?.event?.data;
    if (typeof text === "string") {
      this.#callbacks.onToken(text);
    } else {
      this.#fail({ message: "The server sent an event of an unknown form." });
    }
  }

  /** @param {MessageEvent} message */
  #takeDone(message) {
    this.#show(message);
    // An end of the body is a lost connection to EventSource: left open, it would come back for more.
    this.#source.close();
    const end = parseJSON(message.data);
    this.#callbacks.onDone({ finishReason: end?.finish_reason ?? null, usage: end?.usage ?? null });
  }

  /** @param {MessageEvent} message the server no longer has what followed our last event id */
  #takeReset(message) {
    this.#show(message);
    this.#callbacks.onGap();
  }

  /** @param {MessageEvent} message */
  #takeError(message) {
    this.#show(message);
    const error = parseJSON(message.data)?.error;
    if (error?.code === "draining") {
      // The server is going down in good order: the browser comes back and another process goes on with the answer.
      this.#callbacks.onReconnecting();
    } else {
      this.#fail(error ?? { message: "The server reported an error without saying which." });
    }
  }

  #connectionLost() {
    if (this.#source.readyState === EventSource.CLOSED) {
      this.#callbacks.onWire("refused: not a 200 with text/event-stream", "note");
      this.#callbacks.onError({ message: "The server refused the stream. EventSource does not tell why." });
    } else {
      this.#callbacks.onWire("connection lost, the browser will reconnect", "note");
      this.#callbacks.onReconnecting();
    }
  }

  /** @param {StreamError} error */
  #fail(error) {
    this.#source.close();
    this.#callbacks.onError(error);
  }

  /** @param {MessageEvent} message */
  #show(message) {
    const lines = [];
    // The id is repeated with every event that follows it: a change is the most that can be seen of an id: line.
    if (message.lastEventId !== this.#shownId) {
      this.#shownId = message.lastEventId;
      lines.push(`id: ${message.lastEventId}`);
    }
    if (message.type !== "message") {
      lines.push(`event: ${message.type}`);
    }
    for (const line of message.data.split("\n")) {
      lines.push(`data: ${line}`);
    }
    this.#callbacks.onWire(lines.join("\n"), "event");
  }
}
