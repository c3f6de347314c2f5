// @ts-check

/** Shows the growing answer. It uses text nodes only, so that markup in the answer stays text. */
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
    // A screen reader does not announce a busy live region: it reads the complete answer, not each token.
    this.#element.setAttribute("aria-busy", "true");
  }

  /** @param {string} text */
  append(text) {
    // Appending copies the whole text of a node. One node for each line keeps the copies short in a long answer.
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
