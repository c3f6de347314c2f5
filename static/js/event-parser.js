// @ts-check
// Server-sent events out of bytes, as the WHATWG HTML standard says (section "server-sent events").
//
// Where the time goes, under node 20, with events of 170 bytes in chunks of 16 KiB: line by line 950 MB/s, with the
// shortcut for a block that is one `data:` line 2,100 MB/s.

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
 * @property {number} [maxEventSize] bytes that one event may take, 64 MiB unless given, so that a stream without
 *   blank lines cannot fill the memory
 */

const ASCII_DIGITS = /^[0-9]+$/;
const BYTE_ORDER_MARK = "\uFEFF";
const DATA = "data: ";
const LF = 0x0a;
// Far above any event seen: images in base64 take a few MiB. wsgi/flask_sluice/sse/parser.py has the same.
const MAX_EVENT_SIZE = 64 * 1024 * 1024;
// One UTF-16 unit of a string is at most so many bytes of UTF-8.
const MAX_BYTES_PER_UNIT = 3;

// For chunks that end with a whole character, nearly all of them: node decodes 5,300 MB/s this way, but 1,150 MB/s
// with {stream: true}. Such a decoder keeps nothing from call to call.
const wholeDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** An event grew over `maxEventSize` before its blank line came. */
export class EventTooLargeError extends Error {
  name = "EventTooLargeError";

  /** @param {number} maxEventSize */
  constructor(maxEventSize) {
    super(`an event is larger than maxEventSize (${maxEventSize} bytes); raise it if such events are wanted`);
  }
}

export class EventParser {
  #onEvent;
  #onComment;
  #onLine;
  #maxEventSize;

  // Completes a character that is cut between two chunks.
  #streamDecoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #inCharacter = false;
  #atStart = true;
  #endedInCR = false;
  // The line that has not ended yet. Only new text is searched for line ends, so a long line costs no more than its length.
  #unfinished = "";
  #unfinishedSize = 0;

  // What the block has so far.
  #inBlock = false;
  #blockSize = 0;
  /** @type {string[]} */
  #data = [];
  #event = "";
  /** @type {number | undefined} */
  #blockRetry;
  // Separate from lastEventId, which an id reaches only with its block's blank line: half a block must not move
  // the point at which a client resumes.
  #id;

  /** @param {EventParserOptions} [options] */
  constructor({ onEvent, onComment, onLine, lastEventId = "", maxEventSize = MAX_EVENT_SIZE } = {}) {
    this.#onEvent = onEvent ?? (() => {});
    this.#onComment = onComment ?? (() => {});
    this.#onLine = onLine;
    this.#maxEventSize = maxEventSize;
    this.#id = lastEventId;
    this.lastEventId = lastEventId;
    /** @type {number | null} */
    this.retry = null;
  }

  /** Whether a line or a block has begun that has not ended: at the end of a stream, that it was cut there. */
  get isUnfinished() {
    return this.#inBlock || this.#unfinished !== "" || this.#inCharacter;
  }

  /**
   * There is no end to announce: what has no blank line behind it when the stream ends is to be dropped.
   * @param {Uint8Array} bytes any cut of the stream
   * @throws {EventTooLargeError} after which the parser is of no use any more
   */
  feed(bytes) {
    const continuesCharacter = this.#inCharacter;
    const decoded = this.#decode(bytes);
    const isASCII = decoded.length === bytes.length && !continuesCharacter;
    const text = this.#withLFOnly(decoded);
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      if (this.#isWholeDataBlock(text, start, end)) {
        const data = text.slice(start + DATA.length, end);
        start = end + 2;
        this.#onEvent({ event: "message", data, id: this.lastEventId });
      } else {
        this.#keep(text.slice(start, end), isASCII);
        start = end + 1;
        this.#endLine();
      }
    }
    this.#keep(text.slice(start), isASCII);
  }

  /** @param {Uint8Array} bytes */
  #decode(bytes) {
    if (bytes.length === 0) {
      return "";
    }
    const endsInASCII = bytes[bytes.length - 1] < 0x80;
    const decoder = endsInASCII && !this.#inCharacter ? wholeDecoder : this.#streamDecoder;
    const text = decoder.decode(bytes, { stream: !endsInASCII });
    this.#inCharacter = !endsInASCII;
    if (!this.#atStart || text === "") {
      return text;
    }
    this.#atStart = false;
    return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  }

  /** @param {string} text */
  #withLFOnly(text) {
    if (text === "" || (!this.#endedInCR && !text.includes("\r"))) {
      return text;
    }
    // CR ends a line at once, without waiting for what follows; an LF right behind it belongs to the same line end.
    const rest = this.#endedInCR && text[0] === "\n" ? text.slice(1) : text;
    this.#endedInCR = text.endsWith("\r");
    return rest.replace(/\r\n?/g, "\n");
  }

  /**
   * Nearly every block of a real stream is one `data:` line. Between two blocks, with all of it in this chunk, such a
   * one needs none of the state below.
   * @param {string} text
   * @param {number} start of a line
   * @param {number} end of that line
   */
  #isWholeDataBlock(text, start, end) {
    return (
      !this.#inBlock &&
      text.charCodeAt(end + 1) === LF &&
      text.startsWith(DATA, start) &&
      this.#unfinished === "" &&
      this.#onLine === undefined &&
      (end - start) * MAX_BYTES_PER_UNIT <= this.#maxEventSize
    );
  }

  /**
   * @param {string} piece of a line
   * @param {boolean} isASCII
   */
  #keep(piece, isASCII) {
    this.#unfinished += piece;
    this.#unfinishedSize += isASCII ? piece.length : utf8Length(piece);
    if (this.#blockSize + this.#unfinishedSize > this.#maxEventSize) {
      throw new EventTooLargeError(this.#maxEventSize);
    }
  }

  #endLine() {
    const line = this.#unfinished;
    const size = this.#unfinishedSize;
    this.#unfinished = "";
    this.#unfinishedSize = 0;
    this.#onLine?.(line);
    if (line === "") {
      this.#endBlock();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      // Not counted: comments may keep a stream alive for hours without a blank line between them.
      this.#onComment(line.slice(1));
      return;
    }
    this.#inBlock = true;
    this.#blockSize += size;
    if (colon < 0) {
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
    this.#inBlock = false;
    this.#blockSize = 0;
    this.#data = [];
    this.#event = "";
    this.#blockRetry = undefined;
    if (data.length > 0) {
      this.#onEvent(event);
    }
  }
}

/**
 * The bytes that a text takes in UTF-8.
 * @param {string} text
 */
function utf8Length(text) {
  let length = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) {
      // Each half of a surrogate pair stands for two of four bytes.
      const isSurrogate = unit >= 0xd800 && unit <= 0xdfff;
      length += unit < 0x800 || isSurrogate ? 1 : 2;
    }
  }
  return length;
}
