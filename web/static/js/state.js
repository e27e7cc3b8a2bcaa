// The smallest thing that can be observed: a value and those who want to hear of its changes.

/** @template T */
export class Store {
  /** @type {Set<(value: T) => void>} */
  #listeners = new Set();
  #value;

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  /** Sets and tells, unless it is the same. @param {T} value */
  set(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    this.touch();
  }

  /** Tells that something inside the value has changed. */
  touch() {
    for (const listener of [...this.#listeners]) listener(this.#value);
  }

  /** @param {(value: T) => void} listener @returns {() => void} ends it */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Something kept in this browser; a browser that refuses storage just forgets. */
export const memory = {
  /** @param {string} key @param {string} [otherwise] */
  get(key, otherwise = '') {
    try {
      return localStorage.getItem(`lamproom.${key}`) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  /** @param {string} key @param {string} value */
  set(key, value) {
    try {
      localStorage.setItem(`lamproom.${key}`, value);
    } catch {
      // private mode or full: the choice lasts for this page only
    }
  },
};
