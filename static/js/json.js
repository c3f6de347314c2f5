// @ts-check

/**
 * null instead of an exception: what comes from the network is checked by its content anyway.
 * @param {string} text
 * @returns {any}
 */
export function parseJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
