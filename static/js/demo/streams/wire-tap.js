// @ts-check
// A fetch function that shows every line of the body as it arrives, including comments.

import { EventParser } from "../../fetch-event-source/event-parser.js";

/** @typedef {import("./transports.js").StreamCallbacks["onWire"]} OnWire */

/** Wraps fetch for one stream. */
export class WireTap {
  #onWire;
  #breaker = new AbortController();

  /** @param {OnWire} onWire */
  constructor(onWire) {
    this.#onWire = onWire;
  }

  /** Breaks the connection. The reader sees a network error, as when a phone loses its network. */
  break() {
    this.#onWire("the connection is broken on purpose", "note");
    this.#breaker.abort(new TypeError("broken on purpose"));
    this.#breaker = new AbortController();
  }

  /** @type {typeof globalThis.fetch} */
  fetch = async (input, init = {}) => {
    const headers = new Headers(init.headers);
    const lastEventId = headers.get("Last-Event-ID");
    const { pathname } = new URL(String(input));
    this.#onWire(`${init.method ?? "GET"} ${pathname}${lastEventId ? ` after event ${lastEventId}` : ""}`, "note");
    const signals = [this.#breaker.signal, ...(init.signal ? [init.signal] : [])];
    const response = await fetch(input, { ...init, signal: AbortSignal.any(signals) });
    this.#onWire(`HTTP ${response.status} · ${response.headers.get("Content-Type") ?? "no content"}`, "note");
    if (!response.ok || response.body === null) {
      return response;
    }
    const body = response.body.pipeThrough(this.#createObserver());
    return new Response(body, { status: response.status, headers: response.headers });
  };

  /** @returns {TransformStream<Uint8Array, Uint8Array>} */
  #createObserver() {
    const onWire = this.#onWire;
    /** @type {string[]} */
    let block = [];
    const parser = new EventParser({
      onLine(line) {
        if (line.startsWith(":")) {
          onWire(line, "comment");
        } else if (line !== "") {
          block.push(line);
        } else if (block.length > 0) {
          onWire(block.join("\n"), "event");
          block = [];
        }
      },
    });
    return new TransformStream({
      transform(bytes, controller) {
        parser.feed(bytes);
        controller.enqueue(bytes);
      },
      flush: () => onWire("end of the body", "note"),
    });
  }
}
