/** Live sound of a model that needs whole utterances: each is complete once a pause follows it. */

import { percentiles } from "./numbers.js";
import { appended } from "./samples.js";
import { energies, isSteady } from "./steady.js";

const STEP = 0.02; // seconds; the resolution at which pauses are found
const SHORTEST_PAUSE = 0.3; // seconds
const PAUSE_DB = 15; // decibels that a pause lies below the loud parts, at least
const PAUSE_SHARE = 0.7; // share of the dynamic range that a pause lies below the loud parts
const ENDING_PAUSE = 0.6; // seconds after which an utterance is complete
const LONGEST = 30; // seconds of an utterance
const MARGIN = 0.1; // seconds of a pause that stay with the speech before it and after it
const QUIET = 2; // seconds of steady sound before anything is forgotten

/** Return the level of each step of samples in decibels, and the levels of its quiet and of its loud parts. */
function levels(samples, rate) {
  const energy = energies(samples, Math.round(STEP * rate));
  const decibels = energy.map((one) => 10 * Math.log10(one + 1e-10));
  const [floor, loud] = energy.length ? percentiles(decibels, 5, 98) : [-100, -100];
  return { energy, decibels, floor, loud };
}

/** Find the pauses in samples: `[first sample, end]` of each. */
export function pauses(samples, rate) {
  const step = Math.round(STEP * rate);
  const { energy, decibels, floor, loud } = levels(samples, rate);
  const most = loud - Math.max(PAUSE_DB, PAUSE_SHARE * (loud - floor));
  const silent = energy.every((one) => one === 0);
  const found = [];
  let first = null;
  for (let place = 0; place <= energy.length; place++) {
    const quiet = place < energy.length && (silent || decibels[place] <= most);
    if (quiet) first ??= place * step;
    else if (first !== null) {
      const end = place === energy.length ? samples.length : place * step;
      if (end - first >= SHORTEST_PAUSE * rate) found.push([first, end]);
      first = null;
    }
  }
  return found;
}

export class Utterances {
  constructor(rate) {
    this.rate = rate;
    this.start = 0; // sample of the recording at which `samples` begin
    this.samples = new Float32Array(0);
    this.loud = -Infinity; // decibels of the loud parts of the last utterance
  }

  /** Take the next samples; return the complete utterances, `{start, samples}` each. `last` completes the open one. */
  feed(samples, last = false) {
    this.samples = appended(this.samples, samples);
    const quiet = pauses(this.samples, this.rate);
    const margin = Math.round(MARGIN * this.rate);
    const count = this.samples.length;
    if (quiet.length && quiet[0][0] === 0) {
      this.drop(Math.max(0, quiet[0][1] - margin));
      return last || quiet.length === 1 ? this.rest(last) : this.feed(new Float32Array(0), last);
    }
    const [first, end] = quiet.at(-1) ?? [count, count];
    if (first > 0 && end === count && end - first >= ENDING_PAUSE * this.rate) return [this.take(first + margin)];
    if (!last && count > LONGEST * this.rate) return [this.take(first < count ? first + margin : count)];
    return this.rest(last);
  }

  rest(last) {
    const count = this.samples.length;
    if (last) return count && levels(this.samples, this.rate).loud > this.loud - PAUSE_DB ? [this.take(count)] : [];
    if (count > QUIET * this.rate && isSteady(this.samples, this.rate)) this.drop(count - this.rate);
    return [];
  }

  take(count) {
    const taken = { start: this.start, samples: this.samples.slice(0, count) };
    this.loud = levels(taken.samples, this.rate).loud;
    this.drop(count);
    return taken;
  }

  drop(count) {
    this.start += count;
    this.samples = this.samples.slice(count);
  }
}
