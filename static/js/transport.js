// @ts-check
// What the page knows of a transport: how to open one, what one of its events holds, what its raw view can show.

import { EventSourceStream } from "./event-source-stream.js";
import { FetchStream } from "./fetch-stream.js";
import { ResumableStream } from "./resumable-stream.js";

/**
 * @typedef {object} StreamError
 * @property {string} message
 * @property {string | null} [code] the server's, see its table of errors; null when the failure was seen on this side only
 * @property {number} [retryAfterSeconds] when the server asks for another try
 */

/**
 * @typedef {object} StreamEnd
 * @property {string | null} finishReason
 * @property {{completion_tokens?: number, completion_tokens_details?: {reasoning_tokens?: number}} | null} usage
 */

/**
 * After onDone, after onError and after stop() no callback comes any more.
 *
 * @typedef {object} StreamCallbacks
 * @property {() => void} onOpen the server has accepted; again after every reconnection
 * @property {(text: string) => void} onToken
 * @property {() => void} onGap what comes next does not join on to what came before
 * @property {(raw: string, kind: "event" | "comment" | "note") => void} onWire a note is ours, it was not on the wire
 * @property {(url: string) => void} onKept the answer can be read again, and by others, at this URL
 * @property {() => void} onReconnecting
 * @property {(end: StreamEnd) => void} onDone
 * @property {(error: StreamError) => void} onError
 */

/**
 * @typedef {object} Stream
 * @property {() => void} stop ends the answer: the server cancels at once
 * @property {() => void} [leave] where that is another thing: stops reading only
 * @property {() => void} [break] where a broken connection is resumed: breaks it
 */

/**
 * @typedef {object} Question
 * @property {string} text
 * @property {import("./conversation.js").Message[]} messages what came before it
 * @property {object} fields further fields of the request
 */

/**
 * @typedef {object} Transport
 * @property {(question: Question, callbacks: StreamCallbacks) => Stream} open
 * @property {"token" | "character"} unit what one event carries
 * @property {string} wireHint
 */

/**
 * @param {{base: string, model: string}} options base: where the application is mounted, "" at the root
 * @returns {Record<string, Transport>}
 */
export function createTransports({ base, model }) {
  /** @param {Question} question */
  const bodyFor = ({ text, messages, fields }) => ({
    model,
    messages: [...messages, { role: "user", content: text }],
    stream: true,
    stream_options: { include_usage: true },
    ...fields,
  });
  return {
    fetch: {
      open: (question, callbacks) => new FetchStream(`${base}/v1/chat/completions`, bodyFor(question), callbacks),
      unit: "token",
      wireHint: "Every line as it came, comments (keep-alives) included.",
    },
    resumable: {
      open: (question, callbacks) => ResumableStream.start(`${base}/v1/streams`, bodyFor(question), callbacks),
      unit: "token",
      wireHint: "Every line as it came. Break the connection: it goes on after the last event that came.",
    },
    eventsource: {
      open({ text }, callbacks) {
        return new EventSourceStream(`${base}/stream_chat?name=${encodeURIComponent(text)}`, callbacks);
      },
      unit: "character",
      wireHint: "EventSource cannot show comments (keep-alives): this is what it hands over.",
    },
  };
}
