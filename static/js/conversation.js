// @ts-check

/** @typedef {{role: "user" | "assistant", content: string}} Message */

/** The questions and answers before the current one, shown, and sent along with the next question. */
export class Conversation {
  #list;
  /** @type {Message[]} */
  #messages = [];

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** What an API that remembers nothing has to be told again. */
  get messages() {
    return [...this.#messages];
  }

  /**
   * @param {string} question
   * @param {string} answer as far as it came; one of which nothing came has taken no place in the conversation
   */
  add(question, answer) {
    if (answer === "") {
      return;
    }
    this.#messages.push({ role: "user", content: question }, { role: "assistant", content: answer });
    const turn = document.createElement("li");
    turn.append(createParagraph("turn-question", question), createParagraph("turn-answer", answer));
    // Below the current answer, which stays where it is.
    this.#list.prepend(turn);
  }

  clear() {
    this.#messages = [];
    this.#list.replaceChildren();
  }
}

/**
 * @param {string} className
 * @param {string} text stays text, whatever a model writes
 */
function createParagraph(className, text) {
  const paragraph = document.createElement("p");
  paragraph.className = className;
  paragraph.textContent = text;
  return paragraph;
}
