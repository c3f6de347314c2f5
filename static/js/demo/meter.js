// @ts-check

/**
 * @typedef {object} MeterElements
 * @property {HTMLElement} firstToken
 * @property {HTMLElement} rate
 * @property {HTMLElement} count
 * @property {HTMLElement} firstTokenLabel
 * @property {HTMLElement} rateLabel
 * @property {HTMLElement} countLabel
 */

const NOTHING_YET = "–";

/** Shows the time to the first token, the rate and the count; in characters where an event carries one character. */
export class Meter {
  #elements;
  #startedAt = 0;
  #firstAt = 0;
  #lastAt = 0;
  #count = 0;

  /** @param {MeterElements} elements */
  constructor(elements) {
    this.#elements = elements;
  }

  /** @param {"token" | "character"} unit */
  start(unit) {
    this.#startedAt = performance.now();
    this.#count = 0;
    const plural = `${unit}s`;
    this.#elements.firstTokenLabel.textContent = `First ${unit}`;
    this.#elements.rateLabel.textContent = `${capitalize(plural)} per second`;
    this.#elements.countLabel.textContent = capitalize(plural);
    this.#elements.firstToken.textContent = NOTHING_YET;
    this.#show();
  }

  /** Counts one event with content. */
  add() {
    this.#lastAt = performance.now();
    if (this.#count === 0) {
      this.#firstAt = this.#lastAt;
      this.#elements.firstToken.textContent = formatDuration(this.#firstAt - this.#startedAt);
    }
    this.#count += 1;
    this.#show();
  }

  /**
   * Replaces the count by the server's, since an event may hold several tokens. Reasoning tokens were never shown.
   * @param {{completion_tokens?: number, completion_tokens_details?: {reasoning_tokens?: number}} | null} usage
   */
  correct(usage) {
    if (usage?.completion_tokens) {
      this.#count = usage.completion_tokens - (usage.completion_tokens_details?.reasoning_tokens ?? 0);
      this.#show();
    }
  }

  #show() {
    const seconds = (this.#lastAt - this.#firstAt) / 1000;
    // The rate is that of the tokens after the first, which ends the time to the first token.
    const isKnown = this.#count > 1 && seconds > 0;
    this.#elements.count.textContent = String(this.#count);
    this.#elements.rate.textContent = isKnown ? ((this.#count - 1) / seconds).toFixed(1) : NOTHING_YET;
  }
}

/** @param {number} milliseconds */
function formatDuration(milliseconds) {
  return milliseconds < 10_000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** @param {string} word */
function capitalize(word) {
  return word[0].toUpperCase() + word.slice(1);
}
