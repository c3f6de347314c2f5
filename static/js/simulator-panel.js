// @ts-check

/** How the simulator is to answer, as people have set it: the `simulator` object of a request. */
export class SimulatorPanel {
  #form;

  /** @param {HTMLFieldSetElement | null} fieldset null where a real model answers */
  constructor(fieldset) {
    this.#form = fieldset;
  }

  /** @returns {{simulator?: Record<string, unknown>}} nothing where nothing is set */
  get fields() {
    if (this.#form === null) {
      return {};
    }
    /** @type {Record<string, unknown>} */
    const simulator = {};
    for (const input of this.#form.querySelectorAll("input")) {
      if (input.value !== "" && input.name !== "after") {
        simulator[input.name] = input.valueAsNumber;
      }
    }
    const kind = this.#form.querySelector("select")?.value;
    if (kind) {
      simulator.fault = { kind, ...this.#after(kind) };
    }
    return Object.keys(simulator).length > 0 ? { simulator } : {};
  }

  /** @param {string} kind some come instead of an answer, so that nothing can come before them */
  #after(kind) {
    const after = /** @type {HTMLInputElement} */ (this.#form?.querySelector("input[name=after]"));
    return after.value === "" || kind === "status" || kind === "json_body" ? {} : { after: after.valueAsNumber };
  }
}
