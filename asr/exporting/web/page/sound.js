/** Sound for the model: the microphone, and recordings in any format that the browser reads. */

import { Problem } from "./problems.js";

const REFUSALS = {
  NotAllowedError:
    "The browser has no permission to use the microphone. Allow it beside the address of this page, then record again.",
  NotFoundError: "No microphone was found. Connect one, or open a recording.",
  NotReadableError: "The microphone cannot be read: another program may use it. Close that program, then record again.",
};

const FULL_SCALE = 32768; // samples are rounded to 16 bits, as `asr/audio.py` does

/** Decode a file into mono samples at `rate` Hz, the mean of its channels. Throws Problem for no recording. */
export async function decodeRecording(file, rate) {
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Problem(`${file.name} is no recording that this browser can read. Convert it to WAV or MP3.`);
  }
  const mono = new Float32Array(sound.length);
  let peak = 0;
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const samples = sound.getChannelData(channel);
    for (let place = 0; place < mono.length; place++) mono[place] += samples[place] / sound.numberOfChannels;
  }
  for (const sample of mono) peak = Math.max(peak, Math.abs(sample));
  const scale = FULL_SCALE / Math.max(1, peak);
  return mono.map((sample) => Math.min(Math.round(sample * scale), FULL_SCALE - 1) / FULL_SCALE);
}

/** The microphone, as it sounds: without the browser's suppression of noise and echo. */
export class Microphone {
  /** Open the microphone; `take(samples)` gets its samples at `rate` Hz, a property. Throws Problem. */
  static async open(take) {
    if (!navigator.mediaDevices) {
      throw new Problem("Browsers give the microphone to pages of https:// addresses and of localhost only.");
    }
    const microphone = new Microphone();
    try {
      microphone.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch (error) {
      throw new Problem(REFUSALS[error.name] ?? `The microphone cannot be opened: ${error.message}`);
    }
    microphone.context = new AudioContext();
    microphone.rate = microphone.context.sampleRate;
    await microphone.context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    const source = microphone.context.createMediaStreamSource(microphone.stream);
    const tap = new AudioWorkletNode(microphone.context, "tap", { channelCount: 1, channelCountMode: "explicit" });
    tap.port.onmessage = ({ data }) => take(data);
    source.connect(tap).connect(microphone.context.destination); // silent; browsers run connected nodes only
    return microphone;
  }

  async close() {
    for (const track of this.stream.getTracks()) track.stop();
    await this.context.close();
  }
}
