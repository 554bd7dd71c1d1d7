/** Samples of a recording for its picture: loaded in blocks, of which some are kept. */

const BLOCK = 30; // seconds; the service sends at most 60
const KEPT = 8; // blocks
export const RATE = 16000; // Hz, of the samples that the service sends
const FULL_SCALE = 32768;

/** Return the samples of a WAV file of 16 bits and one channel, in -1..1. */
export function parsed(bytes) {
  const view = new DataView(bytes);
  for (let place = 12; place + 8 <= bytes.byteLength; ) {
    const size = view.getUint32(place + 4, true);
    if (view.getUint32(place, false) === 0x64617461) {
      // "data"
      const count = Math.min(size, bytes.byteLength - place - 8) >> 1;
      return Float32Array.from({ length: count }, (_, index) => view.getInt16(place + 8 + 2 * index, true) / FULL_SCALE);
    }
    place += 8 + size + (size % 2);
  }
  return new Float32Array();
}

export class Sound {
  /** `load(start, end)` returns the bytes of a WAV file; `duration` in seconds. */
  constructor(load, duration) {
    this.load = load;
    this.duration = duration;
    this.blocks = new Map(); // number -> samples, the oldest first
    this.coming = new Map(); // number -> promise
  }

  /**
   * Return the samples from `from` to `until` seconds; null where a block is still to come.
   *
   * Then `then()` is called once it has come.
   */
  part(from, until, then) {
    const [first, last] = [Math.floor(from / BLOCK), Math.floor((until - 1e-6) / BLOCK)];
    const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const missing = numbers.filter((number) => !this.blocks.has(number));
    for (const number of missing) this.#fetch(number).then(then);
    if (missing.length) return null;
    const start = Math.round(from * RATE);
    const samples = new Float32Array(Math.round(until * RATE) - start);
    for (const number of numbers) {
      const block = this.blocks.get(number);
      this.blocks.delete(number);
      this.blocks.set(number, block); // now the youngest
      const place = number * BLOCK * RATE - start;
      const cut = block.subarray(Math.max(0, -place), Math.max(0, samples.length - place));
      samples.set(cut, Math.max(0, place));
    }
    return samples;
  }

  #fetch(number) {
    if (!this.coming.has(number)) {
      const end = Math.min((number + 1) * BLOCK, this.duration);
      const promise = this.load(number * BLOCK, end).then((bytes) => {
        this.blocks.set(number, parsed(bytes));
        if (this.blocks.size > KEPT) this.blocks.delete(this.blocks.keys().next().value);
      });
      this.coming.set(number, promise);
      promise.finally(() => this.coming.delete(number)).catch(() => {}); // who waits for the promise is told
    }
    return this.coming.get(number);
  }
}
