// @ts-check

import { parseJSON } from "./json.js";

/** @typedef {import("./transport.js").StreamError} StreamError */

/**
 * What an event of a chat completion's stream says.
 *
 * @typedef {object} Chunk
 * @property {StreamError} [error] the answer has failed
 * @property {string} [token] text
 * @property {string} [finishReason]
 * @property {import("./transport.js").StreamEnd["usage"]} [usage]
 */

/**
 * @param {string} data of one event, but not `[DONE]`
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
  // The usage chunk has no choices; the first delta may hold the role alone.
  const choice = chunk.choices?.[0];
  return {
    token: choice?.delta?.content || undefined,
    finishReason: choice?.finish_reason ?? undefined,
    usage: chunk.usage ?? undefined,
  };
}
