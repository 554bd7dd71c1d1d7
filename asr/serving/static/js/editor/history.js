/** Undo and redo: all states of a document, of which operations share what they do not change. */

const STEPS = 2000; // kept
const TOGETHER = 1500; // milliseconds between changes of one kind that are undone together

export class History {
  /** `now()` returns milliseconds. */
  constructor(doc, now = () => Date.now()) {
    this.doc = doc;
    this.now = now;
    this.past = []; // of `{doc, id}`: the document before a step, and the segment that the step changed
    this.future = [];
    this.kind = null; // of the last change, and its time
    this.time = 0;
  }

  /**
   * Make `doc` the present document; return whether it is another one.
   *
   * `id` is the segment that changed. Quick changes with one `kind`, as of typing into one segment, are one step.
   */
  apply(doc, id, kind = null) {
    if (doc === this.doc) return false;
    const time = this.now();
    if (kind === null || kind !== this.kind || time - this.time > TOGETHER) this.past.push({ doc: this.doc, id });
    if (this.past.length > STEPS) this.past.shift();
    this.future = [];
    this.doc = doc;
    this.kind = kind;
    this.time = time;
    return true;
  }

  /** Go one step back; return the segment that it changed, or undefined if there is no step. */
  undo() {
    return this.#step(this.past, this.future);
  }

  /** Go one step forward again. */
  redo() {
    return this.#step(this.future, this.past);
  }

  #step(from, to) {
    const step = from.pop();
    if (!step) return undefined;
    to.push({ doc: this.doc, id: step.id });
    this.doc = step.doc;
    this.kind = null;
    return step.id ?? null;
  }
}
