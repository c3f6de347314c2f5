// @ts-check

/** @typedef {{raw: string, kind: "event" | "comment" | "note", milliseconds: number}} WireEntry */

// Enough to scroll back through; a long answer must not make the page heavy.
const MAX_ROWS = 500;
const AT_BOTTOM_TOLERANCE_PX = 8;

/** The raw events, each with the time of its arrival. */
export class WireLog {
  #list;
  #startedAt = 0;
  /** @type {WireEntry[]} */
  #waiting = [];
  #frame = 0;
  #scrolledTo = 0;

  /** @param {HTMLElement} list the element that scrolls */
  constructor(list) {
    this.#list = list;
  }

  start() {
    this.#startedAt = performance.now();
    this.#waiting = [];
    this.#list.replaceChildren();
  }

  /**
   * @param {string} raw
   * @param {WireEntry["kind"]} kind
   */
  add(raw, kind) {
    this.#waiting.push({ raw, kind, milliseconds: performance.now() - this.#startedAt });
    // A page in the background gets no frames, and must not pile up rows meanwhile.
    if (this.#waiting.length > MAX_ROWS) {
      this.#waiting.shift();
    }
    // Asking where the list is scrolled to costs a layout: once a frame, not once an event.
    this.#frame ||= requestAnimationFrame(() => this.flush());
  }

  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const list = this.#list;
    const following = this.#isFollowing();
    list.append(...this.#waiting.map(createRow));
    this.#waiting = [];
    while (list.childElementCount > MAX_ROWS) {
      list.firstElementChild?.remove();
    }
    if (following) {
      list.scrollTop = list.scrollHeight;
      this.#scrolledTo = list.scrollTop;
    }
  }

  /** At the bottom, or where we last put it: a list that has become lower since was not scrolled away by its reader. */
  #isFollowing() {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < AT_BOTTOM_TOLERANCE_PX || scrollTop === this.#scrolledTo;
  }
}

/** @param {WireEntry} entry */
function createRow({ raw, kind, milliseconds }) {
  const row = document.createElement("li");
  // A note is ours and not an event of the wire.
  row.className = kind === "note" ? "wire-note" : "wire-row";
  row.dataset.kind = kind;
  const time = createSpan("wire-time", String(Math.round(milliseconds)));
  const text = document.createElement("code");
  raw.split("\n").forEach((line, index) => {
    if (index > 0) {
      text.append("\n");
    }
    text.append(...(kind === "event" ? createField(line) : [line]));
  });
  row.append(time, " ", text);
  return row;
}

/** @param {string} line */
function createField(line) {
  const valueStart = line.indexOf(":") + 1;
  return [createSpan("wire-field", line.slice(0, valueStart)), line.slice(valueStart)];
}

/**
 * @param {string} className
 * @param {string} text
 */
function createSpan(className, text) {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = text;
  return span;
}
