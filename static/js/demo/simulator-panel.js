// @ts-check

/** Reads the form that controls the simulator into the `simulator` object of a request. */
export class SimulatorPanel {
  #form;

  /** @param {HTMLFieldSetElement | null} fieldset null if a real model answers */
  constructor(fieldset) {
    this.#form = fieldset;
  }

  /** @returns {{simulator?: Record<string, unknown>}} an empty object if the form is empty */
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

  /** @param {string} kind "status" and "json_body" replace the answer, so that no token can precede them */
  #after(kind) {
    const after = /** @type {HTMLInputElement} */ (this.#form?.querySelector("input[name=after]"));
    return after.value === "" || kind === "status" || kind === "json_body" ? {} : { after: after.valueAsNumber };
  }
}
