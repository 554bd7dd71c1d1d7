/** Sound for the model: the microphone, and recordings in any format that the browser reads. */

import { Problem } from "./problems.js";

const REFUSALS = {
  NotAllowedError:
    "The browser has no permission to use the microphone. Allow it beside the address of this page, then record again.",
  NotFoundError: "No microphone was found. Connect one, or open a recording.",
  NotReadableError: "The microphone cannot be read: another program may use it. Close that program, then record again.",
};

const USUAL_RATE = 48000; // Hz, of recordings whose rate is not found

/** Return the sample rate in Hz that the header of a WAV or FLAC states: browsers do not tell it. */
function statedRate(bytes) {
  const view = new DataView(bytes);
  const name = (place) => String.fromCharCode(...new Uint8Array(bytes, place, 4));
  if (bytes.byteLength < 44) return null;
  if (name(0) === "RIFF" && name(12) === "fmt ") return view.getUint32(24, true);
  if (name(0) === "fLaC") return view.getUint32(18) >> 12;
  return null;
}

/**
 * Decode a file: `{samples, rate}`, the mean of its channels. Throws Problem for no recording.
 *
 * The sound is decoded at its own rate, because browsers resample it coarsely.
 */
export async function decodeRecording(file) {
  let sound;
  try {
    const bytes = await file.arrayBuffer();
    sound = await new OfflineAudioContext(1, 1, statedRate(bytes) ?? USUAL_RATE).decodeAudioData(bytes);
  } catch {
    throw new Problem(`${file.name} is no recording that this browser can read. Convert it to WAV or MP3.`);
  }
  if (!sound.length) throw new Problem(`${file.name} holds no sound.`);
  const samples = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const part = sound.getChannelData(channel);
    for (let place = 0; place < samples.length; place++) samples[place] += part[place] / sound.numberOfChannels;
  }
  return { samples, rate: sound.sampleRate };
}

/** The microphone, as it sounds: without the browser's suppression of noise and echo. */
export class Microphone {
  /**
   * Open the microphone; `take(samples)` gets its samples at `rate` Hz, a property.
   *
   * Throws Problem, of the kind "insecure" or with the browser's name of the error.
   */
  static async open(take) {
    if (!navigator.mediaDevices) {
      throw new Problem("Browsers give the microphone to pages of https:// addresses and of localhost only.", "insecure");
    }
    const microphone = new Microphone();
    try {
      microphone.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch (error) {
      throw new Problem(REFUSALS[error.name] ?? `The microphone cannot be opened: ${error.message}`, error.name);
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
