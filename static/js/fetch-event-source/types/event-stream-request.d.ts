export type Body = BodyInit | object | null;
export type RequestOptions = {
    method: string;
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    body?: Body | (() => Body | Promise<Body>);
    credentials: RequestCredentials;
};
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
export declare function createRequest(options: RequestOptions, lastEventId: string): Promise<RequestInit>;
/**
 * Resolves a URL against the document's.
 * @param {string | URL} url
 * @returns {string}
 * @throws {DOMException} a SyntaxError if the URL is not valid
 * @throws {TypeError} for a Request, which would become the URL "[object Request]"
 */
export declare function resolveURL(url: string | URL): string;
