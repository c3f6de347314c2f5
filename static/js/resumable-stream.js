// @ts-check
// A stream that is kept: POST starts it, GET reads it, from any event on, as often as one likes; `event: done` at the end.

import { readChunk } from "./chunks.js";
import { FetchEventSource } from "./fetch-event-source.js";
import { parseJSON } from "./json.js";
import { connectionError, refusal } from "./stream-errors.js";
import { WireTap } from "./wire-tap.js";

/** @typedef {import("./transport.js").StreamCallbacks} StreamCallbacks */

export class ResumableStream {
  #callbacks;
  #tap;
  #stopping = new AbortController();
  /** @type {FetchEventSource | null} */
  #source = null;
  #url = "";

  /**
   * Starts an answer, and reads it.
   *
   * @param {string} url where streams are made
   * @param {object} body
   * @param {StreamCallbacks} callbacks
   */
  static start(url, body, callbacks) {
    const stream = new ResumableStream(callbacks);
    stream.#create(url, body);
    return stream;
  }

  /**
   * Reads an answer that somebody else has started.
   *
   * @param {string} url the stream's own
   * @param {StreamCallbacks} callbacks
   */
  static follow(url, callbacks) {
    const stream = new ResumableStream(callbacks);
    stream.#read(url);
    return stream;
  }

  /** @param {StreamCallbacks} callbacks */
  constructor(callbacks) {
    this.#callbacks = callbacks;
    this.#tap = new WireTap(callbacks.onWire);
  }

  /** Ends the answer itself, for all its readers. */
  stop() {
    this.leave();
    if (this.#url !== "") {
      fetch(this.#url, { method: "DELETE", keepalive: true });
    }
  }

  /** Stops reading; the answer goes on. */
  leave() {
    this.#stopping.abort();
    this.#source?.close();
  }

  /** Breaks the connection, so that one sees the stream go on. */
  break() {
    this.#tap.break();
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
    const streamUrl = parseJSON(text)?.url;
    if (!response.ok || typeof streamUrl !== "string") {
      this.#callbacks.onError(refusal(response.status, response.headers, text));
    } else if (this.#stopping.signal.aborted) {
      this.#url = streamUrl;
      this.stop();
    } else {
      this.#read(streamUrl);
    }
  }

  /** @param {string} url */
  #read(url) {
    this.#url = url;
    this.#callbacks.onKept(url);
    const source = new FetchEventSource(url, { fetch: this.#tap.fetch, reconnect: "always" });
    this.#source = source;
    source.onopen = () => this.#callbacks.onOpen();
    source.onmessage = ({ data }) => this.#take(data);
    source.addEventListener("done", (event) => this.#done(/** @type {MessageEvent<string>} */ (event).data));
    source.addEventListener("reset", () => this.#callbacks.onGap());
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) {
        this.#takeError(parseJSON(event.data)?.error);
      } else if (source.readyState === FetchEventSource.CLOSED) {
        this.#callbacks.onError(connectionError(/** @type {any} */ (event)));
      } else {
        this.#callbacks.onReconnecting();
      }
    });
  }

  /** @param {string} data */
  #take(data) {
    const { error, token } = readChunk(data);
    if (error) {
      this.#fail(error);
    } else if (token) {
      this.#callbacks.onToken(token);
    }
  }

  /** @param {import("./transport.js").StreamError | undefined} error */
  #takeError(error) {
    if (error?.code === "draining") {
      // This process is going down in good order: another goes on with the answer.
      this.#callbacks.onReconnecting();
    } else {
      this.#fail(error ?? { message: "The server reported an error without saying which." });
    }
  }

  /** @param {string} data */
  #done(data) {
    this.#source?.close();
    const end = parseJSON(data);
    this.#callbacks.onDone({ finishReason: end?.finish_reason ?? null, usage: end?.usage ?? null });
  }

  /** @param {import("./transport.js").StreamError} error */
  #fail(error) {
    this.#source?.close();
    this.#callbacks.onError(error);
  }
}
