/** Steady sounds: silence, hum and noise, whose level hardly varies; a port of `asr/recognition/steady.py`. */

import { percentiles, rounded } from "./numbers.js";

const FRAME = 0.03; // seconds
const STEADY = 1.4; // variation of the level of a steady sound, at most, as a multiple of white noise

/** Return the mean square of each whole frame of `size` numbers. */
export function energies(numbers, size) {
  const found = new Float64Array(Math.floor(numbers.length / size));
  for (let frame = 0; frame < found.length; frame++) {
    for (let place = frame * size; place < (frame + 1) * size; place++) found[frame] += numbers[place] ** 2;
    found[frame] /= size;
  }
  return found;
}

/** Tell whether the level of samples hardly varies. */
export function isSteady(samples, rate) {
  const size = rounded(FRAME * rate);
  const steps = new Float32Array(Math.max(0, samples.length - 1));
  for (let place = 0; place < steps.length; place++) steps[place] = samples[place + 1] - samples[place];
  if (steps.length < size) return steps.every((step) => step === 0);
  const decibels = energies(steps, size).map((energy) => 10 * Math.log10(energy + 1e-9));
  const [low, high] = percentiles(decibels, 5, 95);
  return high - low < STEADY * 3.29 * (10 / Math.LN10) * Math.sqrt(2 / size);
}
