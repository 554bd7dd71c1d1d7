/** Takes from the microphone: 16-bit samples between start and stop, and the level while the microphone is open. */

import { Microphone } from "../../../shared/sound.js";
import { toInt16, wavBlob } from "./wav.js";

const DEAF = 3000; // ms without sound from the microphone after which the microphone has failed
const LONGEST = 30 * 60; // seconds of a take

export class Recorder {
  /**
   * Make a recorder whose microphone is closed.
   *
   * `level(peak)` is called for each part of sound with its largest sample, in 0..1. `ended(reason)` is called if the
   * microphone fails ("lost") or a take reaches its longest ("long"): the take so far is kept for `stop`.
   */
  constructor({ level = () => {}, ended = () => {}, longest = LONGEST } = {}) {
    this.level = level;
    this.ended = ended;
    this.longest = longest;
    this.take = null; // the take that is recorded
    this.microphone = null;
    this.wake = null; // called once the next sound came
  }

  /** Open the microphone; the browser asks for permission the first time. Throws Problem. */
  async open() {
    this.opening ??= Microphone.open((samples) => this.hear(samples));
    try {
      this.microphone = await this.opening;
    } finally {
      this.opening = null;
    }
    for (const track of this.microphone.stream.getTracks()) track.onended = () => this.lose();
    this.watch();
  }

  /** Begin a take; the microphone must be open. */
  start() {
    this.take = { parts: [], count: 0, started: null };
  }

  /** End the take; return `{blob, seconds, started}`, with the Date at which it began. `blob` is null without sound. */
  async stop() {
    const take = this.take;
    if (this.microphone && take.count < this.longest * this.microphone.rate) {
      await new Promise((resolve) => {
        this.wake = resolve; // the part of sound in which the take ends is still on its way
        setTimeout(resolve, 300);
      });
    }
    this.take = null;
    if (!take.count) return { blob: null, seconds: 0, started: take.started };
    return { blob: wavBlob(take.parts, take.rate), seconds: take.count / take.rate, started: take.started };
  }

  /** Close the microphone, so that the browser shows that nothing listens. */
  async close() {
    clearTimeout(this.watcher);
    const opened = this.microphone ?? (await this.opening?.catch(() => null));
    this.microphone = null;
    await opened?.close();
  }

  hear(samples) {
    if (!this.microphone) return; // sound that was on its way when the microphone was closed
    this.watch();
    this.level(samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0));
    if (this.take && this.take.count < this.longest * this.microphone.rate) {
      const { rate } = this.microphone;
      this.take.started ??= new Date(Date.now() - (1000 * samples.length) / rate);
      this.take.rate = rate;
      this.take.parts.push(toInt16(samples));
      this.take.count += samples.length;
      if (this.take.count >= this.longest * rate) this.ended("long");
    }
    this.wake?.();
  }

  /** Expect sound within some seconds. */
  watch() {
    clearTimeout(this.watcher);
    this.watcher = setTimeout(() => this.lose(), DEAF);
  }

  async lose() {
    if (!this.microphone) return;
    await this.close();
    this.ended("lost");
  }
}
