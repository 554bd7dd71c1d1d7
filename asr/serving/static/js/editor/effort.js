/** Time worked on a recording: the time between signs of work, without pauses. */

const PAUSE = 60_000; // milliseconds without a sign of work that do not count

export class Effort {
  /** `now()` returns milliseconds. */
  constructor(now = () => Date.now()) {
    this.now = now;
    this.last = null; // time of the last sign
    this.worked = 0; // milliseconds
  }

  /** Note a sign of work: a key, a click, or sound that plays. */
  note() {
    const time = this.now();
    if (this.last !== null && time - this.last <= PAUSE) this.worked += time - this.last;
    this.last = time;
  }

  /** Return the seconds worked since the last `taken`. */
  get seconds() {
    return this.worked / 1000;
  }

  /** Take `seconds` off: they are saved. */
  taken(seconds) {
    this.worked = Math.max(0, this.worked - seconds * 1000);
  }
}
