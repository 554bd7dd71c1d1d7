/** Where speech begins and ends, by level in frequency bands: a port of `asr/recognition/speech.py`. */

import { fourier } from "./fourier.js";
import { percentiles, rounded } from "./numbers.js";

const [STEP, WINDOW] = [0.01, 0.032]; // seconds from frame to frame, and of each frame
const [BANDS, LOWEST, HIGHEST] = [20, 150, 6000]; // number of bands, equally wide in mel; Hz
const FLOOR = 10; // percentile of the frames of a band that is its floor
const HIGH = 5; // bands, those farthest above their floors, that are averaged
const ABOVE = 5.5; // decibels that speech is above the floor, on average over these bands
const MOST = 30; // decibels above the floor that count in this average
const LOUD = 98; // percentile of the frames whose level is called loud
const BELOW = 23.5; // decibels that a frame of speech is below the loud level, at most
const PEAK = 17; // decibels that the loudest frame of a span of speech is below the loud level, at most
const CLASSES = [12, 23]; // decibels below the loud level between which the threshold of the louder class lies
const RANGE = 40; // decibels below the loud level that are divided into two classes
const BINS = 80; // of the histogram of these levels
const FILLED = 0.3; // share of the frames apart from the louder class that a recording without pauses exceeds
const NEAR = 0.12; // seconds around the louder class that belong to its speech
const SHORTEST = 0.05; // seconds of a sound that is no click
const DIP = 0.3; // seconds between two sounds of one span, at most
const SILENT = 1e-10; // power that is added, which makes the level of digital silence -100 dB

/** Find speech in samples: `[first sample, end]` of each sound, in order. */
export function findSpeech(samples, rate) {
  if (samples.length < rounded(WINDOW * rate)) return [];
  const { above, level } = levels(bandPowers(samples, rate));
  const threshold = Math.min(Math.max(otsu(level.filter((one) => one > -RANGE)), -CLASSES[1]), -CLASSES[0]);
  const louder = withoutClicks(above.map((one, frame) => one > ABOVE && level[frame] > threshold));
  const near = widened(louder, rounded(NEAR / STEP));
  let audible = above.map((one, frame) => one > ABOVE && level[frame] > -BELOW);
  const apart = audible.filter((_, frame) => !near[frame]);
  if (apart.filter(Boolean).length > FILLED * apart.length) audible = audible.map((one, frame) => one && near[frame]);
  const sounds = runs(withoutClicks(audible));
  const step = rounded(STEP * rate);
  return betweenPauses(sounds, rounded(DIP / STEP))
    .filter(([first, end]) => level.slice(first, end).some((one) => one > -PEAK))
    .flatMap(([first, end]) => sounds.filter((sound) => first <= sound[0] && sound[0] < end))
    .map(([first, end]) => [first * step, Math.min(end * step, samples.length)]);
}

/** Join sounds with less than `pause` between them into spans between longer pauses. */
export function betweenPauses(sounds, pause) {
  const joined = [];
  for (const [first, end] of sounds) {
    if (joined.length && first - joined.at(-1)[1] < pause) joined.at(-1)[1] = end;
    else joined.push([first, end]);
  }
  return joined;
}

/** Return the mean power of each frame in each band, band after band, smoothed over three frames. */
function bandPowers(samples, rate) {
  const size = rounded(WINDOW * rate);
  const half = Math.floor(size / 2);
  const step = rounded(STEP * rate);
  const edges = bandEdges(size, rate);
  const bands = edges.slice(1).map(() => new Float64Array(Math.ceil((samples.length + 2 * half - size + 1) / step)));
  const transform = fourier(size, edges.at(-1));
  const weights = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / (size - 1)));
  const [real, imaginary] = [new Float64Array(size), new Float64Array(size)];
  for (let frame = 0; frame < bands[0].length; frame++) {
    const first = frame * step - half;
    for (let place = 0; place < size; place++) {
      const sample = first + place;
      real[place] = sample >= 0 && sample < samples.length ? samples[sample] * weights[place] : 0;
    }
    imaginary.fill(0);
    transform(real, imaginary);
    for (let band = 0; band < bands.length; band++) {
      let power = 0;
      for (let bin = edges[band]; bin < edges[band + 1]; bin++) power += real[bin] ** 2 + imaginary[bin] ** 2;
      bands[band][frame] = power / size / (edges[band + 1] - edges[band]);
    }
  }
  return bands.map((band) => {
    const last = band.length - 1;
    return band.map((one, frame) => (band[Math.max(frame - 1, 0)] + one + band[Math.min(frame + 1, last)]) / 3);
  });
}

/** Return the first bin of each band of a spectrum, and the end of the last band. */
function bandEdges(size, rate) {
  const mel = (frequency) => 2595 * Math.log10(1 + frequency / 700);
  const [lowest, highest] = [LOWEST, Math.min(HIGHEST, 0.48 * rate)].map(mel);
  const bins = Array.from({ length: Math.floor(size / 2) + 1 }, (_, bin) => mel(bin * (1 / (size * (1 / rate)))));
  const edges = Array.from({ length: BANDS + 1 }, (_, edge) => {
    const bound = edge < BANDS ? lowest + (edge * (highest - lowest)) / BANDS : highest;
    return bins.filter((bin) => bin < bound).length;
  });
  return [...new Set(edges)];
}

/**
 * Return for each frame how far its highest bands are above their floors, and its level without the floors.
 *
 * The level is in decibels of the loud level.
 */
function levels(bands) {
  const decibels = (power) => 10 * Math.log10(power + SILENT);
  const floors = bands.map((band) => percentiles(band.map(decibels), FLOOR)[0]);
  const powers = floors.map((floor) => 10 ** (floor / 10));
  const [above, level] = [[], []];
  const rises = new Float64Array(bands.length);
  for (let frame = 0; frame < bands[0].length; frame++) {
    let rest = 0;
    for (let band = 0; band < bands.length; band++) {
      const power = bands[band][frame];
      rises[band] = Math.min(Math.max(decibels(power) - floors[band], 0), MOST);
      rest += Math.max(power - powers[band], 0);
    }
    const highest = rises.sort().subarray(-HIGH);
    above.push(highest.reduce((sum, one) => sum + one) / highest.length);
    level.push(decibels(rest));
  }
  const [loud] = percentiles(level, LOUD);
  return { above, level: level.map((one) => one - loud) };
}

/** Return the threshold that divides values into the two classes whose means lie farthest apart (Otsu 1979). */
function otsu(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const counts = new Float64Array(BINS);
  for (const value of values) counts[Math.min(Math.floor(((value - low) / (high - low)) * BINS), BINS - 1)]++;
  const centre = (bin) => low + ((bin + 0.5) * (high - low)) / BINS;
  const mean = counts.reduce((sum, count, bin) => sum + count * centre(bin), 0) / values.length;
  let [count, sum, best, threshold] = [0, 0, 0, centre(0)];
  for (let bin = 0; bin < BINS - 1; bin++) {
    count += counts[bin];
    sum += counts[bin] * centre(bin);
    const share = count / values.length;
    const between = (mean * share - sum / values.length) ** 2 / (share * (1 - share));
    if (between > best) [best, threshold] = [between, centre(bin)];
  }
  return threshold;
}

/** Return the bounds of the frames that are true. */
function runs(mask) {
  const found = [];
  mask.forEach((one, frame) => {
    if (one && !mask[frame - 1]) found.push([frame, frame + 1]);
    else if (one) found.at(-1)[1] = frame + 1;
  });
  return found;
}

/** Return a mask that is true at the frames of runs, each `reach` wider on either side. */
function ofRuns(found, length, reach) {
  const mask = new Array(length).fill(false);
  for (const [first, end] of found) mask.fill(true, Math.max(first - reach, 0), end + reach);
  return mask;
}

/** Return the mask without runs shorter than a sound of speech. */
function withoutClicks(mask) {
  const sounds = runs(mask).filter(([first, end]) => end - first >= rounded(SHORTEST / STEP));
  return ofRuns(sounds, mask.length, 0);
}

/** Return the mask with runs that are wider by `reach` frames on either side. */
function widened(mask, reach) {
  return ofRuns(runs(mask), mask.length, reach);
}
