// @ts-check
// A GET with the browser's own EventSource, which reconnects with Last-Event-ID. The last event is `event: done`.

import { parseJSON, readError } from "./chunks.js";

/** @typedef {import("./chunks.js").Chunk} Chunk */
/** @typedef {import("./transports.js").StreamCallbacks} StreamCallbacks */
/** @typedef {import("./transports.js").StreamError} StreamError */

/** An answer that EventSource reads. */
export class EventSourceStream {
  #callbacks;
  #read;
  #source;
  #shownId = "";

  /**
   * @param {string} url
   * @param {(data: string) => Chunk} read reads the data of a message
   * @param {StreamCallbacks} callbacks
   */
  constructor(url, read, callbacks) {
    this.#callbacks = callbacks;
    this.#read = read;
    callbacks.onWire(`GET ${url}`, "note");
    const source = new EventSource(url);
    this.#source = source;
    source.addEventListener("open", () => callbacks.onOpen());
    source.addEventListener("message", (event) => this.#takeMessage(event));
    source.addEventListener("done", (event) => this.#takeDone(event));
    source.addEventListener("reset", (event) => this.#takeReset(event));
    source.addEventListener("error", (event) => {
      // This listener receives an event that the server named "error", which has data, and the browser's own errors.
      if (event instanceof MessageEvent) {
        this.#takeError(event);
      } else {
        this.#connectionLost();
      }
    });
  }

  stop() {
    this.close();
  }

  close() {
    this.#source.close();
  }

  /** @param {MessageEvent} message */
  #takeMessage(message) {
    this.#show(message);
    const { error, token } = this.#read(message.data);
    if (error) {
      this.#fail(error);
    } else if (token) {
      this.#callbacks.onToken(token);
    }
  }

  /** @param {MessageEvent} message */
  #takeDone(message) {
    this.#show(message);
    // EventSource takes the end of the body for a lost connection, and would reconnect.
    this.#source.close();
    const end = parseJSON(message.data);
    this.#callbacks.onDone({ finishReason: end?.finish_reason ?? null, usage: end?.usage ?? null });
  }

  /** @param {MessageEvent} message says that the server no longer has the events after our last event id */
  #takeReset(message) {
    this.#show(message);
    this.#callbacks.onGap();
  }

  /** @param {MessageEvent} message */
  #takeError(message) {
    this.#show(message);
    const error = readError(message.data);
    if (error.code === "draining") {
      // The server is shutting down gracefully. The browser reconnects, and another process continues the answer.
      this.#callbacks.onReconnecting();
    } else {
      this.#fail(error);
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
    // EventSource repeats the id with every later event, so only a change shows that there was an `id:` line.
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

/**
 * Reads an event of `/stream_chat`, the simulator's stream of characters.
 * @param {string} data
 * @returns {Chunk}
 */
export function readCharacter(data) {
  const token = parseJSON(data)?.event?.data;
  return typeof token === "string" ? { token } : { error: { message: "The server sent an event of an unknown form." } };
}
