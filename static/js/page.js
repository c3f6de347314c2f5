// @ts-check
// Wires the elements of the page to one stream at a time.

import { Answer } from "./answer.js";
import { Meter } from "./meter.js";
import { firstModel } from "./models.js";
import { createTransports } from "./transport.js";
import { WireLog } from "./wire-log.js";

/** @typedef {"idle" | "waiting" | "streaming" | "done" | "stopped" | "failed" | "reconnecting"} State */
/** @typedef {import("./transport.js").Stream} Stream */
/** @typedef {import("./transport.js").StreamEnd} StreamEnd */
/** @typedef {import("./transport.js").StreamError} StreamError */
/** @typedef {import("./transport.js").Transport} Transport */

const form = /** @type {HTMLFormElement} */ (element("ask-form"));
const question = /** @type {HTMLTextAreaElement} */ (element("question"));
const askButton = /** @type {HTMLButtonElement} */ (element("ask"));
const stopButton = /** @type {HTMLButtonElement} */ (element("stop"));
const transportChoice = /** @type {HTMLFieldSetElement} */ (element("transport"));
const status = element("status");
const wireHint = element("wire-hint");

const answer = new Answer(element("answer"));
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
const transports = createTransports({ base, model: await firstModel(base, document.body.dataset.model ?? "") });

/** @type {Stream | null} */
let stream = null;

/** @param {string} text */
function ask(text) {
  const transport = chosenTransport();
  let streaming = false;

  // The last stream may still be reading the rest of its body, which has no place in this one's raw events.
  stream?.stop();
  setRunning(true);
  answer.start();
  meter.start(transport.unit);
  wireLog.start();
  setState("waiting", `Waiting for the first ${transport.unit}…`);

  function showProgress() {
    if (streaming) {
      setState("streaming", "Streaming…");
    }
  }

  stream = transport.open(text, {
    onOpen: showProgress,
    onToken(token) {
      if (!streaming) {
        streaming = true;
        showProgress();
      }
      answer.append(token);
      meter.add();
    },
    onGap: () => answer.append("\n[…]\n"),
    onWire: (raw, kind) => wireLog.add(raw, kind),
    onReconnecting: () => setState("reconnecting", "Connection lost, reconnecting…"),
    onDone(end) {
      if (transport.unit === "token") {
        meter.correct(end.usage);
      }
      settle("done", doneWords(end));
    },
    onError: (error) => settle("failed", `Failed. ${error.message ?? "No reason was given."}`, error.code),
  });
}

function stop() {
  stream?.stop();
  wireLog.add("stopped: we closed the connection", "note");
  settle("stopped", "Stopped. The server cancels as soon as the connection closes.");
}

/**
 * @param {State} state
 * @param {string} words
 * @param {string | null} [code]
 */
function settle(state, words, code) {
  answer.finish(state === "done");
  wireLog.flush();
  setState(state, words, code);
  setRunning(false);
}

/**
 * @param {State} state
 * @param {string} words
 * @param {string | null} [code]
 */
function setState(state, words, code) {
  status.dataset.state = state;
  status.replaceChildren(words);
  if (code) {
    const codeElement = document.createElement("code");
    codeElement.textContent = code;
    status.append(" ", codeElement);
  }
}

/** @param {boolean} running */
function setRunning(running) {
  const [next, last] = running ? [stopButton, askButton] : [askButton, stopButton];
  const hadFocus = document.activeElement === last;
  next.disabled = false;
  last.disabled = true;
  transportChoice.disabled = running;
  // A disabled button loses the keyboard's focus to nowhere.
  if (hadFocus) {
    next.focus();
  }
}

/** @param {StreamEnd} end */
function doneWords({ finishReason }) {
  const asUsual = finishReason === null || finishReason === "stop";
  return asUsual ? "Done." : `Done (${finishReason}).`;
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

question.addEventListener("keydown", (event) => {
  // Enter that ends the composition of a character is not meant for us; Shift+Enter is a new line.
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
