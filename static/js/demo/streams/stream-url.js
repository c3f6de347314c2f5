// @ts-check

const STREAM_ID = /^[\w-]{1,128}$/;
const QUERY = /^(\?ticket=[\w.-]+)?$/;

/**
 * Checks the URL of a resumable stream that stands in a link to this page. Anyone can write such a link, and the page reads
 * the URL and sends DELETE to it: it must be that of a stream of this server, and of nothing else.
 *
 * @param {string} text
 * @param {string} base the path where the application is mounted, "" at the root
 * @param {string} origin this page's
 * @returns {string | null} the path and the query; null if it is any other URL
 */
export function parseStreamUrl(text, base, origin) {
  let url;
  try {
    // As fetch() will: this removes "..", also in its encoded forms, and turns backslashes.
    url = new URL(text, origin);
  } catch {
    return null;
  }
  const collection = `${base}/v1/streams/`;
  const isStream =
    url.origin === origin &&
    url.username === "" &&
    url.password === "" &&
    url.hash === "" &&
    url.pathname.startsWith(collection) &&
    STREAM_ID.test(url.pathname.slice(collection.length)) &&
    QUERY.test(url.search);
  return isStream ? url.pathname + url.search : null;
}
