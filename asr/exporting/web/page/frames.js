/** Log-probabilities `(S, V)` of encoder frames, row after row in one Float32Array; unit 0 is the blank. */

export const BLANK = 0;
const SURE = -30; // log-probability of every unit in a sound without speech

export class Frames {
  constructor(values, units) {
    this.values = values;
    this.units = units; // V
    this.length = values.length / units; // S
  }

  row(index) {
    return this.values.subarray(index * this.units, (index + 1) * this.units);
  }

  slice(first, end) {
    return new Frames(this.values.slice(first * this.units, end * this.units), this.units);
  }

  static joined(parts, units) {
    const values = new Float32Array(parts.reduce((total, part) => total + part.values.length, 0));
    let place = 0;
    for (const part of parts) {
      values.set(part.values, place);
      place += part.values.length;
    }
    return new Frames(values, units);
  }

  /** Return frames that are all blank, as many as `frames` has. */
  static blank(frames) {
    const values = new Float32Array(frames.values.length).fill(SURE);
    for (let index = 0; index < frames.length; index++) values[index * frames.units + BLANK] = 0;
    return new Frames(values, frames.units);
  }
}

/** Return the most probable unit of a row `(V,)`; of equal ones, the first. */
export function bestUnit(row) {
  let best = 0;
  for (let unit = 1; unit < row.length; unit++) if (row[unit] > row[best]) best = unit;
  return best;
}

/** Decode frames by best path: the most probable unit of each frame, repeats merged, blanks dropped. */
export function bestPath(frames) {
  const units = [];
  let last = BLANK;
  for (let index = 0; index < frames.length; index++) {
    const best = bestUnit(frames.row(index));
    if (best !== BLANK && best !== last) units.push(best);
    last = best;
  }
  return units;
}
