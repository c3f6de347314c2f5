// @ts-check
// The OpenAI way: POST with fetch, the body read as server-sent events, `data: [DONE]` at the end.

import { EventParser } from "./event-parser.js";
import { parseJSON } from "./json.js";

/** @typedef {import("./transport.js").StreamCallbacks} StreamCallbacks */
/** @typedef {import("./transport.js").StreamError} StreamError */
/** @typedef {import("./transport.js").StreamEnd} StreamEnd */

// Retry-After may also be a date; our server sends seconds.
const ASCII_DIGITS = /^[0-9]+$/;

export class FetchStream {
  #callbacks;
  #connection = new AbortController();
  // True once the outcome is known. The rest of the body is still read, for a body that was read to its end
  // leaves the connection open for the next question.
  #settled = false;

  /** @type {string[]} */
  #block = [];
  /** @type {StreamEnd} */
  #end = { finishReason: null, usage: null };

  /**
   * @param {string} url
   * @param {object} body
   * @param {StreamCallbacks} callbacks
   */
  constructor(url, body, callbacks) {
    this.#callbacks = callbacks;
    this.#run(url, body);
  }

  stop() {
    this.#settled = true;
    this.#connection.abort();
  }

  /**
   * @param {string} url
   * @param {object} body
   */
  async #run(url, body) {
    this.#callbacks.onWire(`POST ${url}`, "note");
    let response;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
        body: JSON.stringify(body),
        signal: this.#connection.signal,
      });
    } catch {
      this.#fail({ message: "The server cannot be reached." });
      return;
    }
    const contentType = response.headers.get("Content-Type") ?? "";
    this.#callbacks.onWire(`HTTP ${response.status} · ${contentType}`, "note");
    if (!response.ok) {
      this.#fail(await refusal(response));
    } else if (!contentType.startsWith("text/event-stream") || response.body === null) {
      this.#abandon("The server answered with something that is not a stream.");
    } else if (!this.#settled) {
      this.#callbacks.onOpen();
      await this.#readBody(response.body.getReader());
    }
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array>} reader */
  async #readBody(reader) {
    const parser = new EventParser({
      onLine: (line) => this.#showLine(line),
      onEvent: (event) => this.#takeData(event.data),
    });
    for (;;) {
      let chunk;
      try {
        chunk = await reader.read();
      } catch {
        // Also how our own abort() arrives; #fail() says nothing then.
        this.#fail({ message: "The answer was cut off: the connection broke before the end of the stream." });
        return;
      }
      if (chunk.done) {
        break;
      }
      parser.feed(chunk.value);
    }
    this.#callbacks.onWire("end of the body", "note");
    // An orderly end of the body is not enough: a proxy in between may have made it out of a broken one.
    this.#fail({ message: "The answer was cut off: the stream ended without [DONE]." });
  }

  /** @param {string} line */
  #showLine(line) {
    if (line.startsWith(":")) {
      this.#callbacks.onWire(line, "comment");
    } else if (line !== "") {
      this.#block.push(line);
    } else if (this.#block.length > 0) {
      this.#callbacks.onWire(this.#block.join("\n"), "event");
      this.#block = [];
    }
  }

  /** @param {string} data */
  #takeData(data) {
    if (this.#settled) {
      return;
    }
    if (data === "[DONE]") {
      this.#settled = true;
      this.#callbacks.onDone(this.#end);
      return;
    }
    const chunk = parseJSON(data);
    if (chunk === null || typeof chunk !== "object") {
      this.#abandon("The server sent an event that is not a JSON object.");
    } else if (chunk.error) {
      this.#fail(chunk.error);
    } else {
      this.#takeChunk(chunk);
    }
  }

  /** @param {any} chunk a chat.completion.chunk */
  #takeChunk(chunk) {
    if (chunk.usage) {
      this.#end.usage = chunk.usage;
    }
    // The usage chunk has no choices.
    const choice = chunk.choices?.[0];
    if (choice?.finish_reason) {
      this.#end.finishReason = choice.finish_reason;
    }
    // The first delta may hold the role alone.
    if (choice?.delta?.content) {
      this.#callbacks.onToken(choice.delta.content);
    }
  }

  /** @param {StreamError} error */
  #fail(error) {
    if (!this.#settled) {
      this.#settled = true;
      this.#callbacks.onError(error);
    }
  }

  /** @param {string} message why there is no sense in reading on */
  #abandon(message) {
    this.#fail({ message });
    this.#connection.abort();
  }
}

/**
 * @param {Response} response
 * @returns {Promise<StreamError>}
 */
async function refusal(response) {
  const text = await response.text().catch(() => "");
  const error = parseJSON(text)?.error;
  const retryAfter = response.headers.get("Retry-After");
  // A proxy's own error page is HTML, and of no use to a reader.
  let message = error?.message ?? `The server answered with HTTP status ${response.status}.`;
  if (retryAfter !== null && ASCII_DIGITS.test(retryAfter)) {
    message = `${String(message).replace(/\.?$/, ".")} Try again in ${retryAfter} s.`;
  }
  return { message, code: error?.code ?? null };
}
