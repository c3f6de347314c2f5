/**
 * Returns the type and subtype in lower case. Of several, the last valid one holds: a proxy may repeat the header, and
 * fetch then joins the values with commas.
 * @param {string} value of Content-Type
 * @returns {string} empty if none is valid
 */
export declare function extractType(value: string): string;
