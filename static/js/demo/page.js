// @ts-check
// Connects the elements of the page to one stream at a time.

import { Answer } from "./answer.js";
import { Conversation } from "./conversation.js";
import { GapChart } from "./gap-chart.js";
import { Meter } from "./meter.js";
import { SimulatorPanel } from "./simulator-panel.js";
import { describeError } from "./streams/error-messages.js";
import { ResumableStream } from "./streams/resumable-stream.js";
import { parseStreamUrl } from "./streams/stream-url.js";
import { createTransports } from "./streams/transports.js";
import { WireLog } from "./wire-log.js";

/** @typedef {"idle" | "waiting" | "streaming" | "done" | "stopped" | "failed" | "reconnecting"} State */
/** @typedef {import("./streams/transports.js").Stream} Stream */
/** @typedef {import("./streams/transports.js").StreamEnd} StreamEnd */
/** @typedef {import("./streams/transports.js").StreamCallbacks} StreamCallbacks */
/** @typedef {import("./streams/transports.js").Transport} Transport */

const MODELS_TIMEOUT_MS = 2000;

const form = /** @type {HTMLFormElement} */ (element("ask-form"));
const question = /** @type {HTMLTextAreaElement} */ (element("question"));
const askButton = /** @type {HTMLButtonElement} */ (element("ask"));
const stopButton = /** @type {HTMLButtonElement} */ (element("stop"));
const breakButton = /** @type {HTMLButtonElement} */ (element("break"));
const clearButton = /** @type {HTMLButtonElement} */ (element("clear"));
const followLink = /** @type {HTMLAnchorElement} */ (element("follow"));
const transportChoice = /** @type {HTMLFieldSetElement} */ (element("transport"));
const status = element("status");
const asked = element("asked");
const wireHint = element("wire-hint");

const answer = new Answer(element("answer"));
const conversation = new Conversation(element("turns"));
const gaps = new GapChart(/** @type {any} */ (element("gaps")), element("gaps-label"));
const simulator = new SimulatorPanel(document.querySelector("#simulator fieldset"));
const wireLog = new WireLog(element("wire"));
const meter = new Meter({
  firstToken: element("first-token"),
  rate: element("rate"),
  count: element("count"),
  firstTokenLabel: element("first-token-label"),
  rateLabel: element("rate-label"),
  countLabel: element("count-label"),
});
const base = document.body.dataset.base ?? "";
const transports = createTransports({
  base,
  model: await firstModel(document.body.dataset.model ?? ""),
  hasStreamChat: document.body.dataset.streamChat === "yes",
});

/** @type {Stream | null} */
let stream = null;

/**
 * Returns the first model that the server lists, since an upstream has its own names for its models.
 * @param {string} fallback for a server that lists none, or cannot be reached now
 * @returns {Promise<string>}
 */
async function firstModel(fallback) {
  try {
    const response = await fetch(`${base}/v1/models`, { signal: AbortSignal.timeout(MODELS_TIMEOUT_MS) });
    const { data } = await response.json();
    return data[0].id;
  } catch {
    return fallback;
  }
}

/** @param {string} text */
function ask(text) {
  conversation.add(asked.textContent ?? "", answer.text);
  clearButton.hidden = conversation.messages.length === 0;
  const transport = chosenTransport();
  const question = { text, messages: conversation.messages, fields: simulator.fields };
  show(text, transport.unit, (callbacks) => transport.open(question, callbacks));
}

/**
 * Opens a stream and shows it.
 * @param {string} text of the question
 * @param {Transport["unit"]} unit
 * @param {(callbacks: StreamCallbacks) => Stream} open
 */
function show(text, unit, open) {
  let streaming = false;

  setRunning(true);
  asked.textContent = text;
  answer.start();
  meter.start(unit);
  gaps.start();
  element("gaps-title").textContent = `Time between ${unit}s.`;
  wireLog.start();
  followLink.hidden = true;
  setState("waiting", `Waiting for the first ${unit}…`);

  function showProgress() {
    if (streaming) {
      setState("streaming", "Streaming…");
    }
  }

  stream = open({
    onOpen: showProgress,
    onToken(token) {
      if (!streaming) {
        streaming = true;
        showProgress();
      }
      answer.append(token);
      meter.add();
      gaps.add();
    },
    onGap: () => answer.append("\n[…]\n"),
    onKept(url) {
      followLink.href = `?follow=${encodeURIComponent(url)}`;
      followLink.hidden = false;
    },
    onWire: (raw, kind) => wireLog.add(raw, kind),
    onReconnecting: () => setState("reconnecting", "Connection lost, reconnecting…"),
    onDone(end) {
      if (unit === "token") {
        meter.correct(end.usage);
      }
      showEnd("done", describeEnd(end));
    },
    onError: (error) => showEnd("failed", `Failed. ${describeError(error)}`, error.code),
  });
  breakButton.hidden = stream.break === undefined;
}

function stop() {
  stream?.stop();
  wireLog.add("stopped by the reader", "note");
  showEnd("stopped", "Stopped. The server cancels at once.");
}

function startNewConversation() {
  conversation.clear();
  clearButton.hidden = true;
  asked.textContent = "";
  answer.clear();
  setState("idle", "Ready.");
  question.focus();
}

/**
 * Shows that the stream has ended.
 * @param {State} state
 * @param {string} message
 * @param {string | null} [code]
 */
function showEnd(state, message, code) {
  answer.finish(state === "done");
  wireLog.flush();
  setState(state, message, code);
  breakButton.hidden = true;
  setRunning(false);
}

/**
 * @param {State} state
 * @param {string} message
 * @param {string | null} [code]
 */
function setState(state, message, code) {
  status.dataset.state = state;
  status.replaceChildren(message);
  if (code) {
    const codeElement = document.createElement("code");
    codeElement.textContent = code;
    status.append(" ", codeElement);
  }
}

/** @param {boolean} running */
function setRunning(running) {
  const [enabled, disabled] = running ? [stopButton, askButton] : [askButton, stopButton];
  const hadFocus = document.activeElement === disabled;
  enabled.disabled = false;
  disabled.disabled = true;
  clearButton.disabled = running;
  transportChoice.disabled = running;
  // A button that becomes disabled loses the keyboard focus, and no other element gets it.
  if (hadFocus) {
    enabled.focus();
  }
}

/** @param {StreamEnd} end */
function describeEnd({ finishReason }) {
  const isUsual = finishReason === null || finishReason === "stop";
  return isUsual ? "Done." : `Done (${finishReason}).`;
}

/** @returns {Transport} */
function chosenTransport() {
  const chosen = /** @type {HTMLInputElement} */ (form.querySelector("input[name=transport]:checked"));
  return transports[chosen.value];
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
function element(id) {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no #${id}`);
  }
  return found;
}

function showWireHint() {
  wireHint.textContent = chosenTransport().wireHint;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(question.value);
});

stopButton.addEventListener("click", stop);
breakButton.addEventListener("click", () => stream?.break?.());
clearButton.addEventListener("click", startNewConversation);

question.addEventListener("keydown", (event) => {
  // An Enter that ends the composition of a character does not submit; Shift+Enter is a new line.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!askButton.disabled) {
      form.requestSubmit(askButton);
    }
  }
});

transportChoice.addEventListener("change", showWireHint);
showWireHint();
askButton.disabled = false;

const followed = parseStreamUrl(new URLSearchParams(location.search).get("follow") ?? "", base, location.origin);
if (followed !== null) {
  show("(asked in another tab)", "token", (callbacks) => ResumableStream.follow(followed, callbacks));
}
