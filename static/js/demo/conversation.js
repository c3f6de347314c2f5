// @ts-check

/** @typedef {{role: "user" | "assistant", content: string}} Message */

/** Shows the earlier questions and answers, and keeps them to send with the next question. */
export class Conversation {
  #list;
  /** @type {Message[]} */
  #messages = [];

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** The earlier messages, which a stateless API needs with every request. */
  get messages() {
    return [...this.#messages];
  }

  /**
   * Adds a question and its answer.
   * @param {string} question
   * @param {string} answer may be incomplete; if it is empty, the question is not added
   */
  add(question, answer) {
    if (answer === "") {
      return;
    }
    this.#messages.push({ role: "user", content: question }, { role: "assistant", content: answer });
    const turn = document.createElement("li");
    turn.append(createParagraph("turn-question", question), createParagraph("turn-answer", answer));
    // The newest turn is first, directly below the current answer.
    this.#list.prepend(turn);
  }

  clear() {
    this.#messages = [];
    this.#list.replaceChildren();
  }
}

/**
 * @param {string} className
 * @param {string} text shown as text, even if it contains markup
 */
function createParagraph(className, text) {
  const paragraph = document.createElement("p");
  paragraph.className = className;
  paragraph.textContent = text;
  return paragraph;
}
