// @ts-check

const SVG = "http://www.w3.org/2000/svg";
const MAX_BARS = 120;
const HEIGHT = 64;
// The scale changes in steps, so that it rarely moves while the reader looks.
const SCALES_MS = [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000];

/** Charts the time between tokens, one bar for each: a steady stream is a level line, and a stall is a high bar. */
export class GapChart {
  #svg;
  #label;
  /** @type {number[]} */
  #gaps = [];
  #lastAt = 0;
  #frame = 0;

  /**
   * @param {SVGSVGElement} svg
   * @param {HTMLElement} label receives the median and the maximum as text
   */
  constructor(svg, label) {
    this.#svg = svg;
    this.#label = label;
    svg.setAttribute("viewBox", `0 0 ${MAX_BARS} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
  }

  start() {
    this.#gaps = [];
    this.#lastAt = 0;
    this.#draw();
  }

  /** Adds the gap before the token that has just arrived. */
  add() {
    const now = performance.now();
    if (this.#lastAt > 0) {
      this.#gaps.push(now - this.#lastAt);
      this.#frame ||= requestAnimationFrame(() => this.#draw());
    }
    this.#lastAt = now;
  }

  #draw() {
    this.#frame = 0;
    const shown = this.#gaps.slice(-MAX_BARS);
    const longest = Math.max(0, ...shown);
    const scale = SCALES_MS.find((step) => step >= longest) ?? longest;
    this.#svg.replaceChildren(...shown.map((gap, index) => createBar(gap / scale, index)));
    this.#label.textContent =
      shown.length === 0
        ? "Nothing yet."
        : `Median ${format(median(shown))}, longest ${format(longest)}; the chart's top is ${format(scale)}.`;
  }
}

/**
 * @param {number} share of the chart's height
 * @param {number} index
 */
function createBar(share, index) {
  // A gap of zero still gets a visible bar.
  const height = Math.max(share * HEIGHT, 0.5);
  const bar = document.createElementNS(SVG, "rect");
  bar.setAttribute("x", String(index + 0.1));
  bar.setAttribute("y", String(HEIGHT - height));
  bar.setAttribute("width", "0.8");
  bar.setAttribute("height", String(height));
  return bar;
}

/** @param {number[]} values not empty */
function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)];
}

/** @param {number} milliseconds */
function format(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
