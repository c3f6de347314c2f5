// @ts-check
// Reads the data of events: chunks of a chat completion, and other JSON.

/** @typedef {import("./transports.js").StreamError} StreamError */

/**
 * The content of one event of a chat completion's stream.
 *
 * @typedef {object} Chunk
 * @property {StreamError} [error] The answer has failed.
 * @property {string} [token] The next text of the answer.
 * @property {string} [finishReason]
 * @property {import("./transports.js").StreamEnd["usage"]} [usage]
 */

/**
 * Reads one event of a chat completion's stream.
 * @param {string} data of any event except `[DONE]`
 * @returns {Chunk}
 */
export function readChunk(data) {
  const chunk = parseJSON(data);
  if (chunk === null || typeof chunk !== "object") {
    return { error: { message: "The server sent an event that is not a JSON object." } };
  }
  if (chunk.error) {
    return { error: { message: String(chunk.error.message ?? chunk.error), code: chunk.error.code } };
  }
  // The usage chunk has no choices; the first delta may hold only the role.
  const choice = chunk.choices?.[0];
  return {
    token: choice?.delta?.content || undefined,
    finishReason: choice?.finish_reason ?? undefined,
    usage: chunk.usage ?? undefined,
  };
}

/**
 * Parses JSON, and returns null if it is not valid: callers check the content of what they receive anyway.
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
