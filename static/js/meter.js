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

/** Time to the first token, tokens per second, tokens; or characters, where an event carries one character. */
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

  /** One event with content has come. */
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
   * The server's own count is the true one: an event may hold several tokens. Those of the reasoning were never shown.
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
    // The first token ends the wait; the rate is that of those which follow it.
    const known = this.#count > 1 && seconds > 0;
    this.#elements.count.textContent = String(this.#count);
    this.#elements.rate.textContent = known ? ((this.#count - 1) / seconds).toFixed(1) : NOTHING_YET;
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
