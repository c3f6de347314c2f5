// @ts-check
// Reads the data of events: chunks of a chat completion, errors, and other JSON.

/** @typedef {import("./transports.js").StreamError} StreamError */

/**
 * The content of one event of an answer's stream.
 *
 * @typedef {object} Chunk
 * @property {StreamError} [error] The answer has failed.
 * @property {string} [token] The next text of the answer.
 * @property {string} [finishReason]
 * @property {import("./transports.js").StreamEnd["usage"]} [usage]
 */

/** Follows one chat completion from chunk to chunk. */
export class ChatCompletion {
  /** @type {Map<number, string | null>} the finish reasons by the index of their choice */
  #finishReasons = new Map();

  /** Whether each choice that was seen has its finish reason. Servers such as `transformers serve` send no `[DONE]`. */
  get isFinished() {
    const reasons = [...this.#finishReasons.values()];
    return reasons.length > 0 && reasons.every((reason) => reason !== null);
  }

  /**
   * Reads one event. Any field of a chunk may be missing or null.
   * @param {string} data of any event except `[DONE]`
   * @returns {Chunk}
   */
  read(data) {
    // Some servers send an event without data as a keep-alive.
    if (data.trim() === "") {
      return {};
    }
    const chunk = parseJSON(data);
    if (chunk === null || typeof chunk !== "object") {
      return { error: { message: "The server sent an event that is not a JSON object." } };
    }
    if (chunk.error) {
      return { error: readError(data) };
    }
    // The usage chunk has no choices, the first delta may hold only the role, and the last one none at all.
    /** @type {any[]} */
    const choices = Array.isArray(chunk.choices) ? chunk.choices.filter(Boolean) : [];
    for (const { index, finish_reason: reason } of choices) {
      this.#finishReasons.set(index ?? 0, reason ?? this.#finishReasons.get(index ?? 0) ?? null);
    }
    const first = choices.find((choice) => (choice.index ?? 0) === 0);
    if (first?.finish_reason === "error") {
      return { error: { message: "The model's server failed in the middle of the answer." } };
    }
    return {
      token: textOf(first?.delta?.content) || undefined,
      finishReason: first?.finish_reason ?? undefined,
      usage: chunk.usage ?? undefined,
    };
  }
}

/**
 * Returns the text of a message's content, which is a text, null, or a list of parts of which some have a text.
 * @param {any} content
 * @returns {string}
 */
function textOf(content) {
  if (Array.isArray(content)) {
    return content.map((part) => textOf(part?.text ?? part)).join("");
  }
  return typeof content === "string" ? content : "";
}

/**
 * Reads an error in any of the shapes that servers use: an object with a message, or only a text, in the field `error`,
 * in `detail`, or on its own.
 * @param {string} data JSON, or anything else
 * @param {string} [fallback] the message if the data has none
 * @returns {StreamError}
 */
export function readError(data, fallback = data.trim() || "The server reported an error without a description.") {
  const parsed = parseJSON(data);
  const error = parsed?.error ?? parsed?.detail ?? parsed;
  const message = error?.message ?? error;
  return {
    message: typeof message === "string" && message !== "" ? message : fallback,
    code: error?.code === undefined || error?.code === null ? null : String(error.code),
  };
}

/**
 * Parses JSON, and returns null if it is not valid: callers check the content of what they receive anyway.
 * @param {string} text
 * @returns {any}
 */
export function parseJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
