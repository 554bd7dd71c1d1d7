/** What the level of a recording tells: steady sounds without speech, pauses, and where long recordings are cut. */

const STEADY_FRAME = 0.03; // seconds
const STEADY = 1.4; // variation of the level of a steady sound, at most, as a multiple of white noise
const STEP = 0.02; // seconds; the resolution at which pauses are found
const PAUSE = 0.3; // seconds
const PAUSE_DB = 15; // decibels that a pause lies below the loud parts, at least
const PAUSE_SHARE = 0.7; // share of the dynamic range that a pause lies below the loud parts
const WHOLE = 40; // seconds; a longer recording is cut into pieces
const LONGEST = 30; // seconds of a piece
const SHORTEST = 1; // seconds of a piece
const OVERLAP = 3; // seconds that two pieces share on either side of a cut in mid-speech
const MARGIN = 0.1; // seconds of a pause that stay with the speech before it and after it

/** Return percentiles of numbers, interpolated linearly. */
function percentiles(numbers, ...percents) {
  const sorted = Float64Array.from(numbers).sort();
  return percents.map((percent) => {
    const place = (percent / 100) * (sorted.length - 1);
    const low = Math.floor(place);
    return sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
  });
}

/** Return the mean square of each whole frame of `size` numbers. */
function energies(numbers, size) {
  const found = new Float64Array(Math.floor(numbers.length / size));
  for (let frame = 0; frame < found.length; frame++) {
    for (let place = frame * size; place < (frame + 1) * size; place++) found[frame] += numbers[place] ** 2;
    found[frame] /= size;
  }
  return found;
}

/** Tell whether the level of samples hardly varies, as in silence, hum and noise: `asr/recognition/steady.py`. */
export function isSteady(samples, rate) {
  const size = Math.round(STEADY_FRAME * rate);
  const steps = new Float32Array(Math.max(0, samples.length - 1));
  for (let place = 0; place < steps.length; place++) steps[place] = samples[place + 1] - samples[place];
  if (steps.length < size) return steps.every((step) => step === 0);
  const decibels = energies(steps, size).map((energy) => 10 * Math.log10(energy + 1e-9));
  const [low, high] = percentiles(decibels, 5, 95);
  return high - low < STEADY * 3.29 * (10 / Math.LN10) * Math.sqrt(2 / size);
}

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
      if (end - first >= PAUSE * rate) found.push([first, end]);
      first = null;
    }
  }
  return found;
}

/**
 * Cut a recording into pieces between pauses, as `asr/recognition/longform.py` does.
 *
 * Yields `{first, end, start, keep, pause}`: the samples of a piece, the encoder frame at which the piece begins, the
 * bounds of its frames that count (null: to the last one), and whether a pause follows. `stride` is an encoder frame in
 * samples.
 */
export function* cut(samples, rate, stride) {
  if (samples.length / rate <= WHOLE) {
    yield { first: 0, end: samples.length, start: 0, keep: [0, null], pause: true };
    return;
  }
  const whole = (count) => Math.floor(count / stride) * stride;
  const [shortest, longest, overlap, margin] = [SHORTEST, LONGEST, OVERLAP, MARGIN].map((seconds) =>
    whole(Math.round(seconds * rate)),
  );
  let start = 0; // the first sample not given yet
  let context = 0; // samples before it that are given again
  while (start < samples.length) {
    const left = samples.length - start;
    const quiet = pauses(samples.subarray(start, start + longest), rate);
    if (quiet.length && quiet[0][0] === 0 && !context) {
      start += quiet[0][1] === left ? left : whole(quiet[0][1] - margin);
      continue;
    }
    const pause = quiet.find(([first]) => first >= shortest);
    let [length, following, after] = left <= longest ? [left, left, 0] : [longest, longest, overlap];
    if (pause !== undefined) {
      [length, after] = [whole(pause[0] + margin), 0];
      following = Math.max(length + stride, whole(pause[1] - margin));
    }
    const first = start - context;
    yield {
      first,
      end: Math.min(start + length + after, samples.length),
      start: first / stride,
      keep: [context / stride, after ? (context + length) / stride : null],
      pause: !after,
    };
    [start, context] = [start + following, after];
  }
}

/** Live sound of a model that needs whole utterances: each is complete once a pause follows it. */
export class Utterances {
  static PAUSE = 0.6; // seconds after which an utterance is complete
  static QUIET = 2; // seconds of steady sound before anything is forgotten

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
    if (first > 0 && end === count && end - first >= Utterances.PAUSE * this.rate) return [this.take(first + margin)];
    if (!last && count > LONGEST * this.rate) return [this.take(first < count ? first + margin : count)];
    return this.rest(last);
  }

  rest(last) {
    const count = this.samples.length;
    if (last) return count && levels(this.samples, this.rate).loud > this.loud - PAUSE_DB ? [this.take(count)] : [];
    if (count > Utterances.QUIET * this.rate && isSteady(this.samples, this.rate)) this.drop(count - this.rate);
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

export function appended(before, after) {
  const joined = new Float32Array(before.length + after.length);
  joined.set(before);
  joined.set(after, before.length);
  return joined;
}
