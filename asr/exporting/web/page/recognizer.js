/** The recogniser: samples in, text out, from whole recordings and from live sound. */

import { BeamSearch } from "./beam.js";
import { cut } from "./cut.js";
import { BLANK, Frames, bestPath, bestUnit } from "./frames.js";
import { Fusion } from "./ngrams.js";
import { Resampler, prepared } from "./resample.js";
import { Session, fetchBytes } from "./session.js";
import { isSteady } from "./steady.js";
import { AcousticStream } from "./stream.js";
import { readTensors } from "./tensors.js";
import { speller } from "./text.js";
import { Utterances } from "./utterances.js";

const PAUSE = 1; // seconds of blank frames that end a segment of a stream

export class Recognizer {
  /** Load the model of this folder. Throws ServerProblem for a file that is not there. */
  static async load() {
    const recognizer = new Recognizer();
    recognizer.model = JSON.parse(new TextDecoder().decode(await fetchBytes("model.json")));
    recognizer.session = await Session.load();
    recognizer.spell = speller(recognizer.model);
    if (recognizer.model.decoder) {
      recognizer.fusion = new Fusion(recognizer.model.decoder, readTensors(await fetchBytes("decoder.safetensors")));
    }
    return recognizer;
  }

  /** Begin a beam search, or return null for best path: without language models, or if they are switched off. */
  search(languageModel) {
    return languageModel && this.fusion ? new BeamSearch(this.fusion, this.model.decoder.pruning) : null;
  }

  /** Decode frames into text. */
  decode(frames, languageModel) {
    const search = this.search(languageModel);
    search?.feed(frames);
    return this.spell(search ? search.best() : bestPath(frames));
  }

  /** Compute frames; those of a steady sound are blank, because a model invents words in it. */
  async frames(samples) {
    const frames = await this.session.logProbs(samples);
    return isSteady(samples, this.model.sample_rate) ? Frames.blank(frames) : frames;
  }

  /** Transcribe a recording of `rate` Hz; yield `{start, frames, text, end}` of each segment between two pauses. */
  async *transcribe(recording, rate, languageModel) {
    const { sample_rate: sampleRate, stride, lengths } = this.model;
    const samples = prepared(recording, rate, sampleRate);
    let [parts, start] = [[], 0];
    for (const piece of cut(samples, sampleRate, stride, lengths)) {
      const frames = await this.frames(samples.subarray(piece.first, piece.end));
      if (!parts.length) start = piece.start + piece.keep[0];
      parts.push(frames.slice(piece.keep[0], piece.keep[1] ?? frames.length));
      if (!piece.pause) continue;
      const segment = Frames.joined(parts, frames.units);
      yield { start, frames: segment, text: this.decode(segment, languageModel), end: piece.end };
      parts = [];
    }
  }

  /** Begin to transcribe live sound of `rate` Hz. */
  live(rate, languageModel) {
    return new (this.model.stream ? LiveStream : LiveUtterances)(this, rate, languageModel);
  }
}

/** Live sound of a model that can stream: text at once, which a pause makes final. */
class LiveStream {
  constructor(recognizer, rate, languageModel) {
    const { sample_rate: sampleRate, stride, stream } = recognizer.model;
    this.recognizer = recognizer;
    this.languageModel = languageModel;
    this.resampler = new Resampler(rate, sampleRate);
    this.acoustic = new AcousticStream(recognizer.session, stream);
    this.pause = Math.round((PAUSE * sampleRate) / stride);
    this.start = 0; // frame at which the next ones begin
    this.begin();
  }

  begin() {
    this.search = this.recognizer.search(this.languageModel);
    [this.path, this.last, this.silent] = [[], BLANK, 0];
  }

  /** Take samples; yield at most one `{start, frames, final, partial}`: lines that are final, and the open one. */
  async *feed(samples, last = false) {
    const frames = await this.acoustic.feed(this.resampler.feed(samples, last), last);
    const final = [];
    for (let index = 0; index < (frames?.length ?? 0); index++) {
      const best = bestUnit(frames.row(index));
      if (best !== BLANK && best !== this.last) this.path.push(best);
      this.last = best;
      this.silent = best === BLANK ? this.silent + 1 : 0;
      this.search?.feed(frames.slice(index, index + 1));
      if (this.silent === this.pause) final.push(this.ended());
    }
    const partial = last ? "" : this.text();
    if (last) final.push(this.ended());
    yield { start: this.start, frames, final: final.filter(Boolean), partial };
    this.start += frames?.length ?? 0;
  }

  text() {
    return this.recognizer.spell(this.search ? this.search.best() : this.path);
  }

  ended() {
    const text = this.text();
    this.begin();
    return text;
  }
}

/** Live sound of a model that needs whole utterances: text after each pause. */
class LiveUtterances {
  constructor(recognizer, rate, languageModel) {
    this.recognizer = recognizer;
    this.languageModel = languageModel;
    this.resampler = new Resampler(rate, recognizer.model.sample_rate);
    this.utterances = new Utterances(recognizer.model.sample_rate);
  }

  /** Take samples; yield `{start, frames, final, partial}` of each utterance that is complete. */
  async *feed(samples, last = false) {
    for (const { start, samples: utterance } of this.utterances.feed(this.resampler.feed(samples, last), last)) {
      const frames = await this.recognizer.frames(utterance);
      const text = this.recognizer.decode(frames, this.languageModel);
      yield { start: start / this.recognizer.model.stride, frames, final: text ? [text] : [], partial: "" };
    }
  }
}
