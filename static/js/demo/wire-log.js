// @ts-check

/** @typedef {{raw: string, kind: "event" | "comment" | "note", milliseconds: number}} WireEntry */

// The list is bounded so that a long answer does not make the page slow.
const MAX_ROWS = 500;
const AT_BOTTOM_TOLERANCE_PX = 8;

/** Shows the raw events, each with the time of its arrival. */
export class WireLog {
  #list;
  #startedAt = 0;
  /** @type {WireEntry[]} entries to show in the next frame */
  #pending = [];
  #frame = 0;
  #scrolledTo = 0;

  /** @param {HTMLElement} list the element that scrolls */
  constructor(list) {
    this.#list = list;
  }

  start() {
    this.#startedAt = performance.now();
    this.#pending = [];
    this.#list.replaceChildren();
  }

  /**
   * @param {string} raw
   * @param {WireEntry["kind"]} kind
   */
  add(raw, kind) {
    this.#pending.push({ raw, kind, milliseconds: performance.now() - this.#startedAt });
    // A page in the background gets no frames; its pending entries must not grow without bound.
    if (this.#pending.length > MAX_ROWS) {
      this.#pending.shift();
    }
    // Reading the scroll position costs a layout, so it is done once for each frame and not for each event.
    this.#frame ||= requestAnimationFrame(() => this.flush());
  }

  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const list = this.#list;
    const following = this.#isFollowing();
    list.append(...this.#pending.map(createRow));
    this.#pending = [];
    while (list.childElementCount > MAX_ROWS) {
      list.firstElementChild?.remove();
    }
    if (following) {
      list.scrollTop = list.scrollHeight;
      this.#scrolledTo = list.scrollTop;
    }
  }

  /**
   * Returns whether the list is at its end, or where flush() left it: if the list became lower since, its end has moved
   * without the reader having scrolled.
   */
  #isFollowing() {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < AT_BOTTOM_TOLERANCE_PX || scrollTop === this.#scrolledTo;
  }
}

/** @param {WireEntry} entry */
function createRow({ raw, kind, milliseconds }) {
  const row = document.createElement("li");
  // A note is the page's own text and was not received.
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
