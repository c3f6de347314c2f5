// @ts-check
// The request that a FetchEventSource sends.

import { FetchEventSourceError } from "./fetch-event-source-error.js";

/**
 * A plain object or an array is sent as JSON, anything else as fetch sends it.
 * @typedef {BodyInit | object | null} Body
 */

/**
 * @typedef {object} RequestOptions
 * @property {string} method
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers]
 * @property {Body | (() => Body | Promise<Body>)} [body]
 * @property {RequestCredentials} credentials
 */

/**
 * Creates the request of one connection. Options that are functions are called for each connection, since a token may
 * have expired.
 *
 * @param {RequestOptions} options
 * @param {string} lastEventId
 * @returns {Promise<RequestInit>}
 * @throws {FetchEventSourceError} of kind "request"
 */
export async function createRequest(options, lastEventId) {
  try {
    const headers = new Headers(await evaluate(options.headers));
    const body = await evaluate(options.body);
    const isJSON = isPlainObjectOrArray(body);
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
      // The HTML standard sets this mode for EventSource. It also sends Cache-Control: no-cache.
      cache: "no-store",
    };
  } catch (cause) {
    throw new FetchEventSourceError("request", `The request could not be made: ${cause}`, { cause });
  }
}

/**
 * Resolves a URL against the document's.
 * @param {string | URL} url
 * @returns {string}
 * @throws {DOMException} a SyntaxError if the URL is not valid
 * @throws {TypeError} for a Request, which would become the URL "[object Request]"
 */
export function resolveURL(url) {
  if (/** @type {unknown} */ (url) instanceof Request) {
    throw new TypeError("the first argument is a Request; pass its url, and the rest as options");
  }
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    throw new DOMException(`${url} is not a URL`, "SyntaxError");
  }
}

/**
 * Calls the option if it is a function.
 * @template T
 * @param {T | (() => T | Promise<T>)} value
 * @returns {T | Promise<T>}
 */
function evaluate(value) {
  return typeof value === "function" ? /** @type {() => T} */ (value)() : value;
}

/** @param {unknown} body */
function isPlainObjectOrArray(body) {
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
 * Encodes a text in UTF-8, as a string of one character for each byte. The HTML standard sends the id in UTF-8, and
 * fetch takes a header's value as such a string.
 * @param {string} text
 */
function utf8AsByteString(text) {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}
