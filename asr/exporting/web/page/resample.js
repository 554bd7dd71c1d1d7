/** Resampling by a windowed sinc: chunks of any size give the samples of the whole. */

import { appended } from "./samples.js";

const CROSSINGS = 64; // zero crossings of the sinc on either side
const CUTOFF = 0.955; // of the lower Nyquist frequency
const FULL_SCALE = 32768;
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
    this.phase = 0; // of the next output after the first of `samples` but `half - 1`, in parts of `up`
    this.inputs = 0; // so far
    this.outputs = 0; // so far
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
    this.inputs += samples.length;
    this.samples = appended(this.samples, samples);
    if (last) this.samples = appended(this.samples, new Float32Array(this.half + 1));
    const steps = (this.samples.length - 2 * this.half + 1) * this.up - this.phase; // up to outputs that see too little
    const left = Math.floor((this.inputs * this.up) / this.down + 0.5) - this.outputs;
    const outputs = new Float32Array(Math.max(0, Math.min(Math.ceil(steps / this.down), left)));
    let place = 0;
    for (let output = 0; output < outputs.length; output++) {
      const filter = this.filters[this.phase];
      let sum = 0;
      for (let index = 0; index < filter.length; index++) sum += filter[index] * this.samples[place + index];
      outputs[output] = sum;
      this.phase += this.down;
      place += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    this.samples = this.samples.slice(place);
    this.outputs += outputs.length;
    return outputs;
  }
}

/** Return a whole recording at `newRate` Hz, at most at full scale and rounded to 16 bits, as `asr/audio.py` does. */
export function prepared(samples, rate, newRate) {
  const resampled = new Resampler(rate, newRate).feed(samples, true);
  let peak = 1;
  for (const sample of resampled) peak = Math.max(peak, Math.abs(sample));
  return resampled.map((sample) => Math.min(Math.round((sample / peak) * FULL_SCALE), FULL_SCALE - 1) / FULL_SCALE);
}
