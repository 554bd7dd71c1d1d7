/** 16-bit WAV files of one channel. */

const HEADER = 44; // bytes
const SAMPLE = 2; // bytes
const FULL_SCALE = 32768;

/** Round samples in [-1, 1] to 16 bits; samples beyond full scale are clipped. */
export function toInt16(samples) {
  const rounded = (sample) => Math.round(sample * FULL_SCALE);
  return Int16Array.from(samples, (one) => Math.max(-FULL_SCALE, Math.min(FULL_SCALE - 1, rounded(one))));
}

/** Return parts of 16-bit samples, of `rate` Hz, as a Blob with a WAV file. */
export function wavBlob(parts, rate) {
  const size = SAMPLE * parts.reduce((total, part) => total + part.length, 0);
  const header = new DataView(new ArrayBuffer(HEADER));
  const write = (place, text) => [...text].forEach((one, index) => header.setUint8(place + index, one.charCodeAt(0)));
  write(0, "RIFF");
  header.setUint32(4, HEADER - 8 + size, true);
  write(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of the format
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, SAMPLE * rate, true);
  header.setUint16(32, SAMPLE, true);
  header.setUint16(34, 8 * SAMPLE, true);
  write(36, "data");
  header.setUint32(40, size, true);
  return new Blob([header, ...parts], { type: "audio/wav" }); // browsers are little-endian, as WAV is
}
