// @ts-check
// What went wrong, for people who know nothing of status codes.

/** @typedef {import("./transport.js").StreamError} StreamError */

/** @type {Record<string, string>} */
const WORDS = {
  invalid_api_key: "The server wants an API key, and has not got one that it knows.",
  model_not_found: "The server has no model of this name.",
  rate_limit_exceeded: "That was too much in too short a time.",
  overloaded: "The server has as many answers to give as it can.",
  draining: "The server is being restarted.",
  upstream_unreachable: "The model's server cannot be reached.",
  upstream_invalid: "The model's server answered with something that is no answer.",
  upstream_timeout: "The model's server was silent for too long.",
  upstream_truncated: "The answer was cut off: the model's server stopped in the middle.",
  stream_timeout: "The answer took longer than the server allows.",
  producer_lost: "The process that wrote the answer is gone.",
  needs_redis: "This server cannot keep answers: it has several workers, and no Redis.",
};

/**
 * @param {StreamError} error
 * @returns {string} a sentence or two
 */
export function wordsFor({ message, code, retryAfterSeconds }) {
  const words = WORDS[code ?? ""] ?? sentence(message);
  return retryAfterSeconds === undefined ? words : `${words} Try again in ${retryAfterSeconds} s.`;
}

/** @param {string} text */
function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
