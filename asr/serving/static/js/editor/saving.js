/**
 * Saving a document: some seconds after the last change, or at once.
 *
 * What is not saved is kept by the browser too, so that a crash or a lost network loses nothing. Another person's version
 * is never overwritten: the service refuses, and the reader decides.
 */

const QUIET = 3000; // milliseconds after the last change
const LATER = 10_000; // milliseconds until a failed save is tried again
const SOON = 500; // milliseconds until the browser keeps a change
const KEPT = "asr.unsaved."; // before the id of a recording, in the storage of the browser

/** Return the version that the browser kept for a recording, `{version, segments}`, or null. */
export function kept(id) {
  try {
    return JSON.parse(localStorage.getItem(KEPT + id));
  } catch {
    return null;
  }
}

export class Saving {
  /**
   * `put(body)` sends a document and returns the saved one. `present()` returns the segments as they are now. `tell(state,
   * error)` is told `saved`, `unsaved`, `saving`, `failed` or `conflict`. `conflict(current)` gets the document that
   * another person has saved.
   */
  constructor({ id, version, typed, effort, put, present, tell, conflict }) {
    Object.assign(this, { id, version, typed, effort, put, present, tell, conflict });
    this.saved = present(); // the segments that the service has
    this.timer = 0;
    this.keeping = 0;
    this.running = null; // the promise of a save that is under way
    this.state = "saved";
  }

  get clean() {
    return this.present() === this.saved;
  }

  /** Note that the document has changed. */
  changed() {
    if (this.clean) return this.#settled();
    if (this.state !== "conflict") this.#tell("unsaved");
    this.keeping ||= setTimeout(() => this.keep(), SOON);
    this.#wait(QUIET);
  }

  /** Note that the service has this version, as after loading it. */
  loaded(version) {
    this.version = version;
    this.saved = this.present();
    this.#settled();
  }

  /** Wait for the reader's decision between this version and that of another person. */
  conflicts() {
    clearTimeout(this.timer);
    this.#tell("conflict");
  }

  /**
   * Save now what is not saved; return whether the service has everything.
   *
   * After a conflict that is not decided nothing is sent, but with `again`: the service answers with the other version.
   */
  async now({ again = false } = {}) {
    clearTimeout(this.timer);
    if (this.running) await this.running;
    if (this.clean) return true;
    if (this.state === "conflict" && !again) return false;
    this.running = this.#save();
    await this.running;
    this.running = null;
    return this.clean;
  }

  /** Keep what is here after another person has saved `version`: it is saved over that version. */
  async over(version) {
    this.version = version;
    this.#tell("unsaved");
    return this.now();
  }

  /** Have the browser keep what is not saved. */
  keep() {
    clearTimeout(this.keeping);
    this.keeping = 0;
    if (this.clean) return;
    try {
      localStorage.setItem(KEPT + this.id, JSON.stringify({ version: this.version, segments: this.present() }));
    } catch {
      // The storage is full or forbidden. The document is still in the page, and the service gets it soon.
    }
  }

  close() {
    this.keep();
    clearTimeout(this.timer);
  }

  async #save() {
    const [segments, seconds] = [this.present(), this.effort.seconds];
    this.#tell("saving");
    try {
      const saved = await this.put({ version: this.version, segments, seconds, typed: this.typed });
      this.version = saved.version;
      this.saved = segments;
      this.effort.taken(seconds);
      if (this.clean) this.#settled();
      else this.changed(); // typing went on
    } catch (error) {
      if (error.status === 409) {
        this.conflicts();
        this.conflict(error.answer.current);
      } else {
        this.#tell("failed", error);
        this.#wait(LATER);
      }
    }
  }

  #settled() {
    clearTimeout(this.timer);
    clearTimeout(this.keeping);
    this.keeping = 0;
    localStorage.removeItem(KEPT + this.id);
    this.#tell("saved");
  }

  #wait(milliseconds) {
    clearTimeout(this.timer);
    if (this.state !== "conflict") this.timer = setTimeout(() => this.now(), milliseconds);
  }

  #tell(state, error) {
    this.state = state;
    this.tell(state, error);
  }
}
