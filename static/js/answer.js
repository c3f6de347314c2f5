// @ts-check

/** The growing text. Text nodes only: whatever a model writes stays text. */
export class Answer {
  #element;
  /** @type {Text | null} */
  #tail = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  get text() {
    return this.#element.textContent ?? "";
  }

  clear() {
    this.#tail = null;
    this.#element.replaceChildren();
    delete this.#element.dataset.incomplete;
  }

  start() {
    this.clear();
    // Screen readers wait with a busy live region and read it once it is complete, not token by token.
    this.#element.setAttribute("aria-busy", "true");
  }

  /** @param {string} text */
  append(text) {
    // Appending copies the node's text: a new node per line keeps that short in a long answer.
    if (this.#tail === null || this.#tail.data.endsWith("\n")) {
      this.#tail = new Text(text);
      this.#element.append(this.#tail);
    } else {
      this.#tail.appendData(text);
    }
  }

  /** @param {boolean} complete */
  finish(complete) {
    if (!complete && this.#tail !== null) {
      this.#element.dataset.incomplete = "";
    }
    this.#element.setAttribute("aria-busy", "false");
  }
}
