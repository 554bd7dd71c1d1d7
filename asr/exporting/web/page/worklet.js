/** The part of the microphone that runs in the audio thread: it posts samples in chunks. */

const CHUNK = 4096; // samples

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Float32Array(CHUNK);
    this.filled = 0;
  }

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.chunk[this.filled++] = sample;
      if (this.filled === CHUNK) {
        this.port.postMessage(this.chunk);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("tap", Tap);
