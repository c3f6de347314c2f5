// @ts-check
// What the page says of a connection's end.

import { parseJSON } from "./json.js";

/** @typedef {import("./fetch-event-source.js").FetchEventSourceErrorEvent} FetchEventSourceErrorEvent */
/** @typedef {import("./transport.js").StreamError} StreamError */

/**
 * @param {FetchEventSourceErrorEvent} event of a connection after which there is no other
 * @returns {StreamError}
 */
export function connectionError({ kind, message, status, headers, body }) {
  switch (kind) {
    case "status":
      return refusal(status ?? 0, headers, body ?? "");
    case "content-type":
      return { message: "The server answered with something that is not a stream." };
    case "cut":
      return { message: "The answer was cut off: the connection broke before the end of the stream." };
    case "end":
      // An orderly end of the body is not enough: a proxy in between may have made it out of a broken one.
      return { message: "The answer was cut off: the stream ended without its last event." };
    default:
      return { message };
  }
}

/**
 * @param {number} status
 * @param {Headers | null} headers
 * @param {string} body
 * @returns {StreamError}
 */
export function refusal(status, headers, body) {
  // A proxy's own error page is HTML, and of no use to a reader.
  const error = parseJSON(body)?.error;
  const retryAfter = Number.parseInt(headers?.get("Retry-After") ?? "", 10);
  return {
    message: error?.message ?? `The server answered with HTTP status ${status}.`,
    code: error?.code ?? null,
    // It may also be a date; our server sends seconds.
    ...(Number.isNaN(retryAfter) ? {} : { retryAfterSeconds: retryAfter }),
  };
}
