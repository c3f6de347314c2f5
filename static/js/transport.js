// @ts-check
// What the page knows of a transport: how to open one, what one of its events holds, what its raw view can show.

import { EventSourceStream } from "./event-source-stream.js";
import { FetchStream } from "./fetch-stream.js";

/**
 * @typedef {object} StreamError
 * @property {string} message
 * @property {string | null} [code] the server's, see its table of errors; null when the failure was seen on this side only
 */

/**
 * @typedef {object} StreamEnd
 * @property {string | null} finishReason
 * @property {{completion_tokens?: number, completion_tokens_details?: {reasoning_tokens?: number}} | null} usage
 */

/**
 * After onDone, after onError and after stop() no callback comes any more, but for onWire, which shows the stream to its end.
 *
 * @typedef {object} StreamCallbacks
 * @property {() => void} onOpen the server has accepted; again after every reconnection
 * @property {(text: string) => void} onToken
 * @property {() => void} onGap what comes next does not join on to what came before
 * @property {(raw: string, kind: "event" | "comment" | "note") => void} onWire a note is ours, it was not on the wire
 * @property {() => void} onReconnecting
 * @property {(end: StreamEnd) => void} onDone
 * @property {(error: StreamError) => void} onError
 */

/** @typedef {{stop: () => void}} Stream stop() closes the connection, at which the server cancels at once */

/**
 * @typedef {object} Transport
 * @property {(question: string, callbacks: StreamCallbacks) => Stream} open
 * @property {"token" | "character"} unit what one event carries
 * @property {string} wireHint
 */

/**
 * @param {{base: string, model: string}} options base: where the application is mounted, "" at the root
 * @returns {Record<string, Transport>}
 */
export function createTransports({ base, model }) {
  return {
    fetch: {
      open(question, callbacks) {
        const body = {
          model,
          messages: [{ role: "user", content: question }],
          stream: true,
          stream_options: { include_usage: true },
        };
        return new FetchStream(`${base}/v1/chat/completions`, body, callbacks);
      },
      unit: "token",
      wireHint: "Every line as it came, comments (keep-alives) included.",
    },
    eventsource: {
      open(question, callbacks) {
        return new EventSourceStream(`${base}/stream_chat?name=${encodeURIComponent(question)}`, callbacks);
      },
      unit: "character",
      wireHint: "EventSource cannot show comments (keep-alives): this is what it hands over.",
    },
  };
}
