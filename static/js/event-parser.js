// @ts-check
// Server-sent events out of bytes, as the WHATWG HTML standard says (section "server-sent events").

/**
 * @typedef {object} ServerSentEvent
 * @property {string} event   "message" when the server named none
 * @property {string} data    the data lines, joined by LF
 * @property {string} id      the last event id, which stays until the server sets another
 * @property {number} [retry] milliseconds, only when this very block carried it
 */

/**
 * @typedef {object} EventParserOptions
 * @property {(event: ServerSentEvent) => void} [onEvent]
 * @property {(comment: string) => void} [onComment] what follows the colon, nothing trimmed
 * @property {(line: string) => void} [onLine] every finished line as it came, blank ones too, before it takes effect
 * @property {string} [lastEventId] where an earlier connection left off
 */

const ASCII_DIGITS = /^[0-9]+$/;

export class EventParser {
  #onEvent;
  #onComment;
  #onLine;

  // Streaming: a character cut between two chunks is completed by the next one. Drops one byte order mark at the start.
  #decoder = new TextDecoder("utf-8");
  // The line that has not ended yet. Only new text is searched for line ends, so a long line costs no more than its length.
  #unfinished = "";
  #endedInCR = false;

  /** @type {string[]} */
  #data = [];
  #event = "";
  /** @type {number | undefined} */
  #blockRetry;
  // Separate from lastEventId, which an id reaches only with its block's blank line: half a block must not move
  // the point at which a client resumes.
  #id;

  /** @param {EventParserOptions} [options] */
  constructor({ onEvent, onComment, onLine, lastEventId = "" } = {}) {
    this.#onEvent = onEvent ?? (() => {});
    this.#onComment = onComment ?? (() => {});
    this.#onLine = onLine ?? (() => {});
    this.#id = lastEventId;
    this.lastEventId = lastEventId;
    /** @type {number | null} */
    this.retry = null;
  }

  /**
   * There is no end to announce: what has no blank line behind it when the stream ends is to be dropped.
   * @param {Uint8Array} bytes any cut of the stream
   */
  feed(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") {
      return;
    }
    // CR ends a line at once, without waiting for what follows; an LF right behind it belongs to the same line end.
    let start = this.#endedInCR && text[0] === "\n" ? 1 : 0;
    this.#endedInCR = text.endsWith("\r");

    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = start;
    for (let match = lineEnd.exec(text); match !== null; match = lineEnd.exec(text)) {
      const line = this.#unfinished + text.slice(start, match.index);
      this.#unfinished = "";
      start = lineEnd.lastIndex;
      this.#takeLine(line);
    }
    this.#unfinished += text.slice(start);
  }

  /** @param {string} line */
  #takeLine(line) {
    this.#onLine(line);
    if (line === "") {
      this.#endBlock();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      this.#onComment(line.slice(1));
    } else if (colon < 0) {
      this.#takeField(line, "");
    } else {
      const valueStart = line[colon + 1] === " " ? colon + 2 : colon + 1;
      this.#takeField(line.slice(0, colon), line.slice(valueStart));
    }
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  #takeField(name, value) {
    switch (name) {
      case "data":
        this.#data.push(value);
        break;
      case "event":
        this.#event = value;
        break;
      case "id":
        if (!value.includes("\0")) {
          this.#id = value;
        }
        break;
      case "retry":
        // Number() alone would also take "+5", "1.5", "0x10" and spaces.
        if (ASCII_DIGITS.test(value)) {
          this.retry = Number(value);
          this.#blockRetry = this.retry;
        }
        break;
    }
  }

  #endBlock() {
    this.lastEventId = this.#id;
    const data = this.#data;
    /** @type {ServerSentEvent} */
    const event = { event: this.#event || "message", data: data.join("\n"), id: this.lastEventId };
    if (this.#blockRetry !== undefined) {
      event.retry = this.#blockRetry;
    }
    this.#data = [];
    this.#event = "";
    this.#blockRetry = undefined;
    if (data.length > 0) {
      this.#onEvent(event);
    }
  }
}
