/** A stream through a model: samples in chunks of any size, the log-probabilities of the whole recording. */

import { Frames } from "./frames.js";
import { appended } from "./samples.js";

const CONTEXT = 2; // encoder frames: a convolution sees the inputs of two outputs before, at any stride

/** A window that moves along a sequence: which of its outputs are complete, and which inputs later ones need. */
class Window {
  constructor(stride, context, lookAhead) {
    this.stride = stride;
    this.context = context; // outputs whose inputs a later output sees
    this.lookAhead = lookAhead; // inputs after its centre that an output sees
    this.given = 0; // outputs of the kept inputs that were returned already
  }

  /** Return how many outputs so many inputs complete. */
  complete(inputs) {
    return Math.max(this.given, Math.floor((inputs - 1 - this.lookAhead) / this.stride) + 1);
  }

  /** Count `complete` outputs as given; return the number of inputs that no later output sees. */
  passed(complete) {
    const outputs = Math.max(0, complete - this.context);
    this.given = complete - outputs;
    return outputs * this.stride;
  }
}

/** Samples to log-probabilities, each as soon as its last sample has come: a port of `asr/runtime/stream.py`. */
export class AcousticStream {
  /** `settings` are the field `stream` of the model's description. */
  constructor(session, { hop, window, factor, look_ahead: lookAhead }) {
    this.session = session;
    this.spectra = new Window(hop, Math.ceil(window / (2 * hop)), Math.floor(window / 2));
    this.frames = new Window(factor, CONTEXT, lookAhead);
    this.samples = new Float32Array(0);
    this.past = null; // features `(1, P, F)` that subsampling sees again
    this.states = {};
  }

  /** Take the next samples at the model's rate; return Frames, or null if none is complete. */
  async feed(samples, last = false) {
    this.samples = appended(this.samples, samples);
    const count = this.samples.length;
    if (!count) return null;
    const spectra = last ? 1 + Math.floor(count / this.spectra.stride) : this.spectra.complete(count);
    const features = (this.past?.length ?? 0) + spectra - this.spectra.given;
    const frames = last ? Math.ceil(features / this.frames.stride) : this.frames.complete(features);
    if (frames <= this.frames.given) return null;
    const found = await this.session.run({
      ...this.states,
      audio: [this.samples, [1, count]],
      lengths: [[count], [1]],
      spectra: [[this.spectra.given, spectra], [2]],
      new: [[this.frames.given, frames], [2]],
      ...(this.past && { past: [this.past.values, [1, this.past.length, this.past.units]] }),
    });
    this.states = {};
    for (const [name, { data, dims }] of Object.entries(found)) {
      if (name.startsWith("next_")) this.states[name.replace("next_", "")] = [data, dims];
    }
    const bins = found.features.dims[2];
    const added = new Frames(found.features.data, bins);
    const known = this.past ? Frames.joined([this.past, added], bins) : added;
    this.samples = this.samples.slice(this.spectra.passed(spectra));
    this.past = known.slice(this.frames.passed(frames), known.length);
    return new Frames(found.log_probs.data, found.log_probs.dims[2]);
  }
}
