/** The spectrogram of a sound, for the eye: decibels of short windows. */

import { fourier } from "./fourier.js";

const WINDOW = 0.025; // seconds

/** Spectra of a sound at multiples of `step` seconds, each computed once. */
export class Spectrogram {
  /** Spectra reach up to `top` Hz. */
  constructor({ rate, top, step }) {
    this.step = step;
    this.rate = rate;
    this.window = Math.round(WINDOW * rate);
    this.size = 2 ** Math.ceil(Math.log2(this.window));
    this.bins = Math.ceil((top / rate) * this.size);
    this.transform = fourier(this.size, this.bins);
    this.weights = Float64Array.from({ length: this.window }, (_, place) => {
      return Math.sin((Math.PI * (place + 0.5)) / this.window) ** 2;
    });
    this.columns = new Map();
  }

  /** Return spectrum number `index` in decibels; `samples` begin at `from` seconds. Null beyond their end. */
  column(index, samples, from) {
    if (this.columns.has(index)) return this.columns.get(index);
    const centre = Math.round(((index + 0.5) * this.step - from) * this.rate);
    if (centre >= samples.length) return null;
    const first = centre - (this.window >> 1);
    const [real, imaginary] = [new Float64Array(this.size), new Float64Array(this.size)];
    for (let place = 0; place < this.window; place++) real[place] = this.weights[place] * (samples[first + place] ?? 0);
    this.transform(real, imaginary);
    const column = new Float32Array(this.bins);
    for (let bin = 0; bin < column.length; bin++) {
      column[bin] = 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-10);
    }
    if (first + this.window <= samples.length) this.columns.set(index, column);
    return column;
  }
}
