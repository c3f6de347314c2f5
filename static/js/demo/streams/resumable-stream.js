// @ts-check
// A kept stream: a POST starts it, and any number of GETs read it, from any event on. The last event is `event: done`.

import { FetchEventSource } from "../../fetch-event-source/fetch-event-source.js";
import { ChatCompletion, parseJSON, readError } from "./chunks.js";
import { connectionError, responseError } from "./error-messages.js";
import { EventSourceStream } from "./event-source-stream.js";
import { WireTap } from "./wire-tap.js";

/** @typedef {import("./transports.js").StreamCallbacks} StreamCallbacks */

/** An answer that the server keeps, so that it survives its readers. */
export class ResumableStream {
  #callbacks;
  #tap;
  #reader;
  #completion = new ChatCompletion();
  #stopping = new AbortController();
  /** @type {FetchEventSource | EventSourceStream | null} */
  #source = null;
  #stopUrl = "";

  /**
   * Starts an answer, and reads it.
   *
   * @param {string} url of the collection of streams
   * @param {object} body
   * @param {StreamCallbacks} callbacks
   * @param {"fetch" | "eventsource"} [reader]
   */
  static start(url, body, callbacks, reader = "fetch") {
    const stream = new ResumableStream(callbacks, reader);
    stream.#create(url, body);
    return stream;
  }

  /**
   * Reads an answer that was started elsewhere.
   *
   * @param {string} url of the stream
   * @param {StreamCallbacks} callbacks
   */
  static follow(url, callbacks) {
    const stream = new ResumableStream(callbacks, "fetch");
    stream.#stopUrl = url;
    stream.#read(url);
    return stream;
  }

  /**
   * @param {StreamCallbacks} callbacks
   * @param {"fetch" | "eventsource"} reader
   */
  constructor(callbacks, reader) {
    this.#callbacks = callbacks;
    this.#tap = new WireTap(callbacks.onWire);
    this.#reader = reader;
    /** Breaks the connection, to show that the stream continues. A script cannot do that to an EventSource. */
    this.break = reader === "fetch" ? () => this.#tap.break() : undefined;
  }

  /** Ends the answer for all its readers. */
  stop() {
    this.leave();
    if (this.#stopUrl !== "") {
      // If the server cannot be reached, it ends the answer itself after a minute without readers.
      fetch(this.#stopUrl, { method: "DELETE", keepalive: true }).catch(() => {});
    }
  }

  /** Stops reading; the answer continues. */
  leave() {
    this.#stopping.abort();
    this.#source?.close();
  }

  /**
   * @param {string} url
   * @param {object} body
   */
  async #create(url, body) {
    this.#callbacks.onWire(`POST ${url}`, "note");
    let response;
    let text;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: this.#stopping.signal,
      });
      text = await response.text();
    } catch {
      if (!this.#stopping.signal.aborted) {
        this.#callbacks.onError({ message: "The server cannot be reached." });
      }
      return;
    }
    this.#callbacks.onWire(`HTTP ${response.status} · ${response.headers.get("Location") ?? "no location"}`, "note");
    const { url: streamUrl, stop_url: stopUrl } = parseJSON(text) ?? {};
    if (!response.ok || typeof streamUrl !== "string") {
      this.#callbacks.onError(responseError(response.status, response.headers, text));
      return;
    }
    this.#stopUrl = stopUrl;
    if (this.#stopping.signal.aborted) {
      this.stop();
    } else {
      this.#read(streamUrl);
    }
  }

  /** @param {string} url */
  #read(url) {
    this.#callbacks.onKept(url);
    if (this.#reader === "eventsource") {
      this.#source = new EventSourceStream(url, (data) => this.#completion.read(data), this.#callbacks);
      return;
    }
    const source = new FetchEventSource(url, { fetch: this.#tap.fetch, reconnect: "always" });
    this.#source = source;
    source.onopen = () => this.#callbacks.onOpen();
    source.onmessage = ({ data }) => this.#take(data);
    source.addEventListener("done", (event) => this.#done(/** @type {MessageEvent<string>} */ (event).data));
    source.addEventListener("reset", () => this.#callbacks.onGap());
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) {
        this.#takeError(readError(event.data));
      } else if (source.readyState === FetchEventSource.CLOSED) {
        this.#callbacks.onError(connectionError(/** @type {any} */ (event)));
      } else {
        this.#callbacks.onReconnecting();
      }
    });
  }

  /** @param {string} data */
  #take(data) {
    const { error, token } = this.#completion.read(data);
    if (error) {
      this.#fail(error);
    } else if (token) {
      this.#callbacks.onToken(token);
    }
  }

  /** @param {import("./transports.js").StreamError} error */
  #takeError(error) {
    if (error.code === "draining") {
      // The server is shutting down gracefully. The source reconnects, and another process continues the answer.
      this.#callbacks.onReconnecting();
    } else {
      this.#fail(error);
    }
  }

  /** @param {string} data */
  #done(data) {
    this.#source?.close();
    const end = parseJSON(data);
    this.#callbacks.onDone({ finishReason: end?.finish_reason ?? null, usage: end?.usage ?? null });
  }

  /** @param {import("./transports.js").StreamError} error */
  #fail(error) {
    this.#source?.close();
    this.#callbacks.onError(error);
  }
}
