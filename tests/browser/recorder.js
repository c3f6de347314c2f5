// Records what a client does, in words that are the same for EventSource and FetchEventSource.

import { FetchEventSource } from "/static/js/fetch-event-source/fetch-event-source.js";

const CLIENTS = { EventSource, FetchEventSource };
const STATES = ["CONNECTING", "OPEN", "CLOSED"];
const CLOSED = 2;
// A run takes milliseconds, or the reconnection time that its server asks for.
const PATIENCE_MS = 20_000;
// A browser opens no more than six connections to one server.
const RUNS_AT_ONCE = 5;

/**
 * @typedef {object} Run
 * @property {"EventSource" | "FetchEventSource"} client
 * @property {string} url
 * @property {string} script a function of a Recorder
 */

/** Passed to each script: it opens sources and takes notes of what they do. */
class Recorder {
  /** @type {string[]} */
  log = [];
  /** @type {string[]} */
  kinds = [];
  #resolve = () => {};
  #isOver = false;
  /** @type {EventSource[]} */
  #sources = [];

  #run;

  /** @param {Run} run */
  constructor(run) {
    this.#run = run;
    this.Client = CLIENTS[run.client];
    this.url = run.url;
    this.whenOver = new Promise((resolve) => (this.#resolve = resolve));
  }

  /** @param {string} words */
  note(words) {
    this.log.push(this.#isOver ? `too late: ${words}` : words);
  }

  /** Ends the run and closes its sources. Any note from now on is marked as too late. */
  end() {
    this.#sources.forEach((source) => source.close());
    this.#isOver = true;
    this.#resolve();
  }

  /**
   * @param {string} [url]
   * @param {object} [init]
   */
  create(url = this.url, init = {}) {
    const source = new this.Client(url, init);
    this.#sources.push(source);
    return source;
  }

  /**
   * Opens a source and notes its events, until there are this many notes, or the source is closed.
   * @param {{until?: number, names?: string[], init?: object}} options
   */
  open({ until = Infinity, names = [], init } = {}) {
    const source = this.create(this.url, init);
    const note = (words) => {
      this.note(words);
      if (this.log.length === until || source.readyState === CLOSED) {
        this.end();
      }
    };
    source.addEventListener("open", () => note("open"));
    for (const name of ["message", "error", ...names]) {
      source.addEventListener(name, (event) => note(wordsOf(event, source, this.kinds)));
    }
    return source;
  }

  /**
   * Runs another script in a window of its own, so that window.stop() does not concern the other runs.
   * @param {string} script
   */
  async runInFrame(script) {
    const frame = document.createElement("iframe");
    frame.src = "/";
    document.body.append(frame);
    await new Promise((resolve) => frame.addEventListener("load", resolve));
    frame.contentWindow.Math.random = Math.random;
    const { runOne } = await frame.contentWindow.eval('import("/tests/recorder.js")');
    const { log, kinds } = await runOne({ ...this.#run, script });
    frame.remove();
    this.log.push(...log);
    this.kinds.push(...kinds);
    this.end();
  }

  giveUp() {
    if (!this.#isOver) {
      this.note("nothing more came");
      this.end();
    }
  }

  /** @param {EventSource} source */
  stateOf(source) {
    return STATES[source.readyState];
  }
}

/**
 * @param {Event} event
 * @param {EventSource} source
 * @param {string[]} receives the kinds of errors, which EventSource does not have
 */
function wordsOf(event, source, kinds) {
  if (event instanceof MessageEvent) {
    const id = event.lastEventId === "" ? "" : `, id ${quote(event.lastEventId)}`;
    return `${event.type} ${quote(event.data)}${id}`;
  }
  if (event.kind !== undefined) {
    kinds.push(event.kind);
  }
  return source.readyState === CLOSED ? "error: closed" : "error: reconnects";
}

/** Returns the text as JSON, with invisible characters escaped. @param {string} text */
function quote(text) {
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\u00a0\u2028\u2029\ufeff]/g, escaped);
}

/** @param {number} milliseconds */
function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** @param {Run} run */
export async function runOne(run) {
  const recorder = new Recorder(run);
  const script = (0, eval)(run.script);
  await script(recorder);
  await Promise.race([recorder.whenOver, sleep(PATIENCE_MS).then(() => recorder.giveUp())]);
  return { log: recorder.log, kinds: recorder.kinds };
}

/**
 * @param {Run[]} runs
 * @returns {Promise<{log: string[], kinds: string[]}[]>}
 */
export async function runAll(runs) {
  const results = [];
  const waiting = runs.entries();
  const work = async () => {
    for (const [index, run] of waiting) {
      results[index] = await runOne(run);
    }
  };
  await Promise.all(Array.from({ length: RUNS_AT_ONCE }, work));
  // One more round trip to the server and through the task queue, so that late events have been noted.
  await (await fetch("/", { cache: "no-store" })).text();
  await sleep(0);
  return results;
}
