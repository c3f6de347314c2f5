// @ts-check
// What a FetchEventSource sends.

import { FetchEventSourceError } from "./fetch-event-source-error.js";

/** @typedef {BodyInit | object | null} Body a plain object or an array goes as JSON, anything else as fetch sends it */

/**
 * @typedef {object} RequestOptions
 * @property {string} method
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers]
 * @property {Body | (() => Body | Promise<Body>)} [body]
 * @property {RequestCredentials} credentials
 */

/**
 * Functions among the options are called anew for every connection: a token may have expired.
 *
 * @param {RequestOptions} options
 * @param {string} lastEventId
 * @returns {Promise<RequestInit>}
 * @throws {FetchEventSourceError} of kind "request"
 */
export async function createRequest(options, lastEventId) {
  try {
    const headers = new Headers(await valueOf(options.headers));
    const body = await valueOf(options.body);
    const isJSON = isPlain(body);
    setDefault(headers, "Accept", "text/event-stream");
    if (isJSON) {
      setDefault(headers, "Content-Type", "application/json");
    }
    if (lastEventId !== "") {
      headers.set("Last-Event-ID", utf8AsByteString(lastEventId));
    }
    return {
      method: options.method,
      headers,
      body: isJSON ? JSON.stringify(body) : /** @type {BodyInit | null | undefined} */ (body),
      credentials: options.credentials,
      // As the standard asks of EventSource; it also sends Cache-Control: no-cache.
      cache: "no-store",
    };
  } catch (cause) {
    throw new FetchEventSourceError("request", `The request could not be made: ${cause}`, { cause });
  }
}

/**
 * @template T
 * @param {T | (() => T | Promise<T>)} value
 * @returns {T | Promise<T>}
 */
function valueOf(value) {
  return typeof value === "function" ? /** @type {() => T} */ (value)() : value;
}

/** @param {unknown} body */
function isPlain(body) {
  if (typeof body !== "object" || body === null) {
    return false;
  }
  return Array.isArray(body) || [Object.prototype, null].includes(Object.getPrototypeOf(body));
}

/**
 * @param {Headers} headers
 * @param {string} name
 * @param {string} value
 */
function setDefault(headers, name, value) {
  if (!headers.has(name)) {
    headers.set(name, value);
  }
}

/**
 * fetch takes header values as strings in which each character is one byte; the standard wants the id in UTF-8.
 * @param {string} text
 */
function utf8AsByteString(text) {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}
