/**
 * CTC prefix beam search with n-gram models: a port of `asr/decoding/beam.py`, which explains it.
 *
 * Equal log-probabilities give the hypotheses of the original, because every sum is in float64 and in its order.
 */

import { BLANK, bestUnit } from "./frames.js";

const OUTSIDE = -1; // as an index into the beam: the prefix is not in the beam

/** Return log(exp(a) + exp(b)). */
function logAdd(a, b) {
  if (a < b) [a, b] = [b, a];
  return b - a > -40 ? a + Math.log1p(Math.exp(b - a)) : a; // also where both are -Infinity
}

/** Return the log-probability of the paths of a prefix that `unit` may extend: a repeat needs a blank before it. */
const emitting = (entry, unit) => (entry.unit === unit ? entry.blank : entry.total);

function siftDown(entries, place) {
  for (;;) {
    let lowest = place;
    for (const child of [2 * place + 1, 2 * place + 2]) {
      if (child < entries.length && entries[child].score < entries[lowest].score) lowest = child;
    }
    if (lowest === place) return;
    [entries[place], entries[lowest]] = [entries[lowest], entries[place]];
    place = lowest;
  }
}

function makeHeap(entries) {
  for (let place = (entries.length >> 1) - 1; place >= 0; place--) siftDown(entries, place);
}

export class BeamSearch {
  constructor(fusion, pruning) {
    this.fusion = fusion;
    this.pruning = pruning;
    const root = { parent: null, unit: BLANK, children: new Map(), slot: 0, ...fusion.root() };
    this.beam = [{ node: root, unit: BLANK, blank: 0, label: -Infinity, total: 0, score: 0 }];
    this.bestNode = root; // prefix of the best path
    this.bestUnit = BLANK;
  }

  /** Continue the search with the next frames. */
  feed(frames) {
    for (let index = 0; index < frames.length; index++) {
      const row = frames.row(index).slice();
      row[BLANK] -= Math.fround(this.fusion.weights.blank);
      this.step(row);
    }
  }

  /** Return the units of the best hypothesis, as if the utterance ended here. */
  best() {
    let [found, highest] = [null, -Infinity];
    for (const entry of this.beam) {
      const score = entry.total + this.fusion.final(entry.node);
      if (found === null || score > highest) [found, highest] = [entry.node, score];
    }
    const units = [];
    for (let node = found; node.parent !== null; node = node.parent) units.unshift(node.unit);
    return units;
  }

  step(row) {
    const best = bestUnit(row);
    if (best !== BLANK && best !== this.bestUnit) this.bestNode = this.extended(this.bestNode, best);
    this.bestUnit = best;
    const draft = this.stays(row);
    let top = draft.reduce((highest, entry) => Math.max(highest, entry.rank), -Infinity);
    const chosen = this.chosen(row, best);
    if (chosen.length) top = this.extend(draft, row, chosen, top);
    for (const entry of this.beam) entry.node.slot = OUTSIDE;
    const floor = top - this.pruning.margin;
    this.beam = draft.filter((entry) => entry.score >= floor && entry.score > -Infinity);
    this.beam.forEach((entry, slot) => (entry.node.slot = slot));
  }

  /** Return the units that may extend prefixes, most probable first, the best unit of the frame among them. */
  chosen(row, best) {
    const floor = Math.min(this.pruning.min_log_prob, row[best]);
    const most = Math.min(this.pruning.units, row.length - 1);
    const chosen = [];
    for (let unit = BLANK + 1; unit < row.length; unit++) {
      if (row[unit] < floor || row[unit] === -Infinity) continue;
      if (chosen.length === most) {
        if (row[unit] <= row[chosen[most - 1]]) continue;
        chosen.pop();
      }
      let place = chosen.length;
      while (place > 0 && row[chosen[place - 1]] < row[unit]) place--;
      chosen.splice(place, 0, unit);
    }
    return chosen;
  }

  /** Return each prefix of the beam one frame later: its paths continue with a blank or with its last unit. */
  stays(row) {
    return this.beam.map(({ node, unit, label, total }) => {
      if (node.parent !== null && node.parent.slot !== OUTSIDE) {
        label = logAdd(label, emitting(this.beam[node.parent.slot], unit));
      }
      return this.entry(node, total + row[BLANK], label + row[unit]);
    });
  }

  /** Add prefixes that are new to the beam to the draft; return the best score. */
  extend(draft, row, chosen, top) {
    const { width, margin } = this.pruning;
    if (draft.length === width) makeHeap(draft);
    for (let place = this.beam.length - 1; place >= 0; place--) {
      const entry = this.beam[place];
      for (const unit of chosen) {
        const label = emitting(entry, unit) + row[unit];
        const floor = Math.max(top - margin, draft.length === width ? draft[0].score : -Infinity);
        const onBestPath = entry.node === this.bestNode.parent && unit === this.bestNode.unit;
        // Within a word n-grams only lower the score; at its end they may raise it.
        if (label + entry.node.score < floor && unit !== this.fusion.space && !onBestPath) continue;
        const node = this.extended(entry.node, unit);
        if (node.slot !== OUTSIDE || !(label + node.score > floor || onBestPath)) continue;
        const added = this.entry(node, -Infinity, label);
        top = Math.max(top, added.rank);
        if (draft.length < width) {
          draft.push(added);
          if (draft.length === width) makeHeap(draft);
        } else {
          draft[0] = added;
          siftDown(draft, 0);
        }
      }
    }
    return top;
  }

  /** Return an entry of the draft. `rank` is its score, `score` keeps the best path from being pruned. */
  entry(node, blank, label) {
    const total = logAdd(blank, label);
    const rank = total + node.score;
    return { node, unit: node.unit, blank, label, total, rank, score: node === this.bestNode ? Infinity : rank };
  }

  /** Return the node of a prefix with one unit more; make it if it is new. */
  extended(parent, unit) {
    let node = parent.children.get(unit);
    if (node === undefined) {
      node = { parent, unit, children: new Map(), slot: OUTSIDE, ...this.fusion.extended(parent, unit) };
      parent.children.set(unit, node);
    }
    return node;
  }
}
