// @ts-check
// The OpenAI way: POST with fetch, the body read as server-sent events, `data: [DONE]` at the end.

import { readChunk } from "./chunks.js";
import { FetchEventSource } from "./fetch-event-source.js";
import { connectionError } from "./stream-errors.js";
import { WireTap } from "./wire-tap.js";

/** @typedef {import("./transport.js").StreamCallbacks} StreamCallbacks */
/** @typedef {import("./transport.js").StreamEnd} StreamEnd */

export class FetchStream {
  #callbacks;
  #source;
  /** @type {StreamEnd} */
  #end = { finishReason: null, usage: null };

  /**
   * @param {string} url
   * @param {object} body
   * @param {StreamCallbacks} callbacks
   */
  constructor(url, body, callbacks) {
    this.#callbacks = callbacks;
    const { fetch } = new WireTap(callbacks.onWire);
    this.#source = new FetchEventSource(url, { method: "POST", body, fetch });
    this.#source.onopen = () => callbacks.onOpen();
    this.#source.onmessage = ({ data }) => this.#take(data);
    this.#source.onerror = (event) => {
      // An event that the server named "error" arrives here, too.
      if (event instanceof MessageEvent) {
        this.#take(event.data);
      } else {
        callbacks.onError(connectionError(event));
      }
    };
  }

  stop() {
    this.#source.close();
  }

  /** @param {string} data */
  #take(data) {
    if (data === "[DONE]") {
      this.#source.close();
      this.#callbacks.onDone(this.#end);
      return;
    }
    const { error, token, finishReason, usage } = readChunk(data);
    if (error) {
      this.#source.close();
      this.#callbacks.onError(error);
      return;
    }
    this.#end = { finishReason: finishReason ?? this.#end.finishReason, usage: usage ?? this.#end.usage };
    if (token) {
      this.#callbacks.onToken(token);
    }
  }
}
