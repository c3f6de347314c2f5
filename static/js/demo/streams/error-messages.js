// @ts-check
// Sentences for the reader of the page, who need not know status codes.

import { parseRetryAfter } from "../../fetch-event-source/reconnection.js";
import { readError } from "./chunks.js";

/** @typedef {import("../../fetch-event-source/fetch-event-source.js").FetchEventSourceErrorEvent} FetchEventSourceErrorEvent */
/** @typedef {import("./transports.js").StreamError} StreamError */

/** @type {Record<string, string>} */
const MESSAGES = {
  invalid_api_key: "The server requires an API key, and received none that it knows.",
  model_not_found: "The server has no model of this name.",
  rate_limit_exceeded: "Too many requests in too short a time.",
  overloaded: "The server is answering as many requests as it can.",
  draining: "The server is restarting.",
  upstream_unreachable: "The model's server cannot be reached.",
  upstream_invalid: "The model's server sent a response that is not valid.",
  upstream_timeout: "The model's server was silent for too long.",
  upstream_truncated: "The answer was cut off: the model's server stopped in the middle.",
  stream_timeout: "The answer took longer than the server allows.",
  producer_lost: "The process that was writing the answer has died.",
  needs_redis: "This server cannot keep answers: it has several workers and no Redis.",
};

/**
 * Describes an error in one or two sentences.
 * @param {StreamError} error
 * @returns {string}
 */
export function describeError({ message, code, retryAfterSeconds }) {
  const description = MESSAGES[code ?? ""] ?? asSentence(message);
  return retryAfterSeconds === undefined ? description : `${description} Try again in ${retryAfterSeconds} s.`;
}

/**
 * Converts the error of a connection that is not followed by a reconnection.
 * @param {FetchEventSourceErrorEvent} event
 * @returns {StreamError}
 */
export function connectionError({ kind, message, status, headers, body }) {
  switch (kind) {
    case "status":
      return responseError(status ?? 0, headers, body ?? "");
    case "content-type":
      return { message: "The server sent a response that is not a stream." };
    case "cut":
      return { message: "The answer was cut off: the connection broke before the end of the stream." };
    case "end":
      // A body that ends properly is not enough: a proxy may have turned a broken body into one.
      return { message: "The answer was cut off: the stream ended without its last event." };
    default:
      return { message };
  }
}

/**
 * Converts a response whose status is an error.
 * @param {number} status
 * @param {Headers | null} headers
 * @param {string} body JSON from Sluice, HTML from a proxy
 * @returns {StreamError}
 */
export function responseError(status, headers, body) {
  const retryAfterSeconds = Math.ceil(parseRetryAfter(headers?.get("Retry-After") ?? "") / 1000);
  return {
    ...readError(body, `The server answered with HTTP status ${status}.`),
    ...(retryAfterSeconds > 0 && Number.isFinite(retryAfterSeconds) ? { retryAfterSeconds } : {}),
  };
}

/** @param {string} text */
function asSentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
