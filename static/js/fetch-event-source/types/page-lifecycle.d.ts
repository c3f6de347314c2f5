export type PageCallbacks = {
    /**
     * A script has called `window.stop()`, which has ended all connections.
     */
    onStop: () => void;
    /**
     * The page enters the back/forward cache; the promise is
     * fulfilled when it is shown again.
     */
    onCache: (whenShown: Promise<unknown>) => void;
};
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
export declare function observePage({ onStop, onCache }: PageCallbacks, signal: AbortSignal): void;
