// @ts-check
// The type of a response's body, as Fetch defines it ("extract a MIME type").

// A part ends at a comma outside of a quoted string.
const PARTS = /(?:"(?:\\.|[^"\\])*"?|[^",])+/g;
const TYPE = /^[\t ]*([-!#$%&'*+.^_`|~0-9a-z]+\/[-!#$%&'*+.^_`|~0-9a-z]+)[\t ]*(?:;|$)/i;

/**
 * Returns the type and subtype in lower case. Of several, the last valid one holds: a proxy may repeat the header, and
 * fetch then joins the values with commas.
 * @param {string} value of Content-Type
 * @returns {string} empty if none is valid
 */
export function extractType(value) {
  const types = (value.match(PARTS) ?? []).map((part) => TYPE.exec(part)?.[1].toLowerCase() ?? "");
  return types.filter((type) => type !== "" && type !== "*/*").at(-1) ?? "";
}
