// @ts-check
// The transports that the page offers: how each opens a stream, what one event holds, and what its raw view can show.

import { EventSourceStream, readCharacter } from "./event-source-stream.js";
import { FetchStream } from "./fetch-stream.js";
import { ResumableStream } from "./resumable-stream.js";

/**
 * @typedef {object} StreamError
 * @property {string} message
 * @property {string | null} [code] The server's error code; null if only the client noticed the failure.
 * @property {number} [retryAfterSeconds] How long the server asks the client to wait.
 */

/**
 * @typedef {object} StreamEnd
 * @property {string | null} finishReason
 * @property {{completion_tokens?: number, completion_tokens_details?: {reasoning_tokens?: number}} | null} usage
 */

/**
 * The callbacks of a stream. None is called after onDone, onError or stop().
 *
 * @typedef {object} StreamCallbacks
 * @property {() => void} onOpen The server has accepted the request; called again after every reconnection.
 * @property {(text: string) => void} onToken
 * @property {() => void} onGap The server has lost events: the next text does not follow the previous one.
 * @property {(raw: string, kind: "event" | "comment" | "note") => void} onWire A "note" is the page's own text.
 * @property {(url: string) => void} onKept The answer can be read at this URL, by other readers too.
 * @property {() => void} onReconnecting
 * @property {(end: StreamEnd) => void} onDone
 * @property {(error: StreamError) => void} onError
 */

/**
 * @typedef {object} Stream
 * @property {() => void} stop Ends the answer; the server cancels at once.
 * @property {() => void} [leave] Stops reading only. A stream without it ends when its reader leaves.
 * @property {(() => void) | undefined} [break] Breaks the connection. A stream without it cannot resume.
 */

/**
 * @typedef {object} Question
 * @property {string} text
 * @property {import("../conversation.js").Message[]} messages The earlier questions and answers.
 * @property {object} fields Further fields of the request.
 */

/**
 * @typedef {object} Transport
 * @property {(question: Question, callbacks: StreamCallbacks) => Stream} open
 * @property {"token" | "character"} unit The content of one event.
 * @property {string} wireHint
 */

/**
 * Creates the transports, by the values of the page's radio buttons.
 * @param {{base: string, model: string, hasStreamChat: boolean}} options base: the path where the application is mounted,
 *   "" at the root; hasStreamChat: whether the simulator answers a GET
 * @returns {Record<string, Transport>}
 */
export function createTransports({ base, model, hasStreamChat }) {
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
      wireHint: "Every line as it arrived, including comments (keep-alives).",
    },
    resumable: {
      open: (question, callbacks) => ResumableStream.start(`${base}/v1/streams`, bodyFor(question), callbacks),
      unit: "token",
      wireHint: "Every line as it arrived. Break the connection: the stream continues after the last event.",
    },
    eventsource: hasStreamChat ? simulatedEventSource(base) : keptEventSource(base, bodyFor),
  };
}

const EVENT_SOURCE_HINT = "The events as EventSource delivers them. It does not show comments (keep-alives).";

/**
 * @param {string} base
 * @returns {Transport}
 */
function simulatedEventSource(base) {
  return {
    open({ text }, callbacks) {
      return new EventSourceStream(`${base}/stream_chat?name=${encodeURIComponent(text)}`, readCharacter, callbacks);
    },
    unit: "character",
    wireHint: EVENT_SOURCE_HINT,
  };
}

/**
 * Where no GET starts an answer (see `createTransports`): it is started by a POST, which EventSource cannot send, and then read.
 * @param {string} base
 * @param {(question: Question) => object} bodyFor
 * @returns {Transport}
 */
function keptEventSource(base, bodyFor) {
  return {
    open: (question, callbacks) =>
      ResumableStream.start(`${base}/v1/streams`, bodyFor(question), callbacks, "eventsource"),
    unit: "token",
    wireHint: `A POST starts the answer, and EventSource reads it. ${EVENT_SOURCE_HINT}`,
  };
}
