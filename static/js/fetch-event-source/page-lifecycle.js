// @ts-check
// What a page does to its connections besides closing them.

// Browsers do not tell a script of window.stop(): its fetches fail as they do without a network. So the function is
// wrapped, once, when the first source of the page is created. The stop button and the Escape key of a page that is
// still loading do not call it.
const stops = new EventTarget();
let isStopWrapped = false;

/**
 * @typedef {object} PageCallbacks
 * @property {() => void} onStop A script has called `window.stop()`, which has ended all connections.
 * @property {(whenShown: Promise<unknown>) => void} onCache The page enters the back/forward cache; the promise is
 *   fulfilled when it is shown again.
 */

/**
 * Observes the page until the signal is aborted. Workers and node have no page.
 * @param {PageCallbacks} callbacks
 * @param {AbortSignal} signal
 */
export function observePage({ onStop, onCache }, signal) {
  if (!("onpagehide" in globalThis)) {
    return;
  }
  wrapStop();
  stops.addEventListener("stop", onStop, { signal });
  globalThis.addEventListener(
    "pagehide",
    ({ persisted }) => {
      if (persisted) {
        onCache(new Promise((resolve) => globalThis.addEventListener("pageshow", resolve, { once: true, signal })));
      }
    },
    { signal },
  );
}

function wrapStop() {
  if (isStopWrapped) {
    return;
  }
  isStopWrapped = true;
  const { stop } = globalThis;
  globalThis.stop = () => {
    stop.call(globalThis);
    stops.dispatchEvent(new Event("stop"));
  };
}
