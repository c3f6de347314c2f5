// @ts-check
// Which model the page asks.

const TIMEOUT_MS = 2000;

/**
 * An upstream has names of its own for its models: the first that it lists will do.
 *
 * @param {string} base where the application is mounted
 * @param {string} fallback for an upstream that lists none, or cannot be reached now
 * @returns {Promise<string>}
 */
export async function firstModel(base, fallback) {
  try {
    const response = await fetch(`${base}/v1/models`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { data } = await response.json();
    return data[0].id;
  } catch {
    return fallback;
  }
}
