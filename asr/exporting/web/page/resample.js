/** Resampling of live sound: chunks of any size, the samples of the whole, by a windowed sinc. */

import { appended } from "./levels.js";

const CROSSINGS = 32; // zero crossings of the sinc on either side
const CUTOFF = 0.95; // of the lower Nyquist frequency
const BETA = 9; // of the Kaiser window: aliases lie 90 dB lower

/** Return the modified Bessel function of order 0. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

function divisor(a, b) {
  return b ? divisor(b, a % b) : a;
}

export class Resampler {
  /** Resample from `rate` Hz to `newRate` Hz. */
  constructor(rate, newRate) {
    const common = divisor(rate, newRate);
    this.up = newRate / common; // outputs for every `down` inputs
    this.down = rate / common;
    const cutoff = CUTOFF * Math.min(1, this.up / this.down);
    this.half = Math.ceil(CROSSINGS / cutoff); // inputs that an output sees on either side
    this.filters = Array.from({ length: this.up }, (_, phase) => this.filter(phase / this.up, cutoff));
    this.samples = new Float32Array(this.half - 1); // silence before the first sample
    this.place = 0; // of the next output: whole inputs after the first of `samples`, beyond `half - 1`
    this.phase = 0; // its fraction, in parts of `up`
    this.missing = 0; // inputs so far, times `up`, less outputs so far, times `down`
  }

  /** Return the weights of the inputs around an output that lies `fraction` after an input. */
  filter(fraction, cutoff) {
    return Float64Array.from({ length: 2 * this.half }, (_, index) => {
      const distance = index - (this.half - 1) - fraction;
      const angle = Math.PI * cutoff * distance;
      const inside = 1 - (distance / this.half) ** 2;
      const window = inside > 0 ? bessel(BETA * Math.sqrt(inside)) / bessel(BETA) : 0;
      return cutoff * (angle ? Math.sin(angle) / angle : 1) * window;
    });
  }

  /** Take the next samples; return the outputs that are complete, and with `last` all that are left. */
  feed(samples, last = false) {
    if (this.up === this.down) return samples;
    this.missing += samples.length * this.up;
    this.samples = appended(this.samples, samples);
    if (last) this.samples = appended(this.samples, new Float32Array(this.half + 1));
    const outputs = [];
    while (this.place + 2 * this.half <= this.samples.length && this.missing > 0) {
      const filter = this.filters[this.phase];
      let sum = 0;
      for (let index = 0; index < filter.length; index++) sum += filter[index] * this.samples[this.place + index];
      outputs.push(sum);
      this.missing -= this.down;
      this.phase += this.down;
      this.place += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    this.samples = this.samples.slice(this.place);
    this.place = 0;
    return Float32Array.from(outputs);
  }
}
