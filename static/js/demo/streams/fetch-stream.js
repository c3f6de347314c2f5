// @ts-check
// A POST with FetchEventSource, as for the OpenAI API. The last event is `data: [DONE]`.

import { FetchEventSource } from "../../fetch-event-source/fetch-event-source.js";
import { ChatCompletion, readError } from "./chunks.js";
import { connectionError } from "./error-messages.js";
import { WireTap } from "./wire-tap.js";

/** @typedef {import("./transports.js").StreamCallbacks} StreamCallbacks */
/** @typedef {import("./transports.js").StreamEnd} StreamEnd */

/** An answer that FetchEventSource reads. */
export class FetchStream {
  #callbacks;
  #source;
  #completion = new ChatCompletion();
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
      // This handler also receives an event that the server named "error".
      if (event instanceof MessageEvent) {
        this.#fail(readError(event.data));
      } else if (this.#completion.isFinished && hasEndedProperly(event)) {
        callbacks.onDone(this.#end);
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
    const { error, token, finishReason, usage } = this.#completion.read(data);
    if (error) {
      this.#fail(error);
      return;
    }
    this.#end = { finishReason: finishReason ?? this.#end.finishReason, usage: usage ?? this.#end.usage };
    if (token) {
      this.#callbacks.onToken(token);
    }
  }

  /** @param {import("./transports.js").StreamError} error */
  #fail(error) {
    this.#source.close();
    this.#callbacks.onError(error);
  }
}

/**
 * Returns whether the body ended by itself, if only within an event: the last blank line may be missing after `[DONE]`.
 * A connection that broke has a cause.
 * @param {import("../../fetch-event-source/fetch-event-source.js").FetchEventSourceErrorEvent} event
 */
function hasEndedProperly({ kind, error }) {
  return kind === "end" || (kind === "cut" && error.cause === undefined);
}
