/** The spectrogram of a waveform, for the eye: decibels of short windows. */

const WINDOW = 0.025; // seconds

/** Transform `real` and `imaginary` in place: the radix-2 algorithm of Cooley and Tukey. */
export function fourier(real, imaginary) {
  const size = real.length;
  for (let place = 1, other = 0; place < size; place++) {
    let bit = size >> 1;
    for (; other & bit; bit >>= 1) other ^= bit;
    other ^= bit;
    if (place < other) {
      [real[place], real[other]] = [real[other], real[place]];
      [imaginary[place], imaginary[other]] = [imaginary[other], imaginary[place]];
    }
  }
  for (let span = 2; span <= size; span *= 2) {
    for (let turn = 0; turn < span / 2; turn++) {
      const [cosine, sine] = [Math.cos((-2 * Math.PI * turn) / span), Math.sin((-2 * Math.PI * turn) / span)];
      for (let low = turn; low < size; low += span) {
        const high = low + span / 2;
        const re = real[high] * cosine - imaginary[high] * sine;
        const im = real[high] * sine + imaginary[high] * cosine;
        [real[high], imaginary[high]] = [real[low] - re, imaginary[low] - im];
        real[low] += re;
        imaginary[low] += im;
      }
    }
  }
}

/** Compute `columns` spectra in decibels up to `top` Hz, spread evenly over samples: an array of Float32Array. */
export function spectrogram(samples, rate, columns, top) {
  const window = Math.round(WINDOW * rate);
  const size = 2 ** Math.ceil(Math.log2(window));
  const bins = Math.ceil((top / rate) * size);
  const weights = Float64Array.from({ length: window }, (_, place) => Math.sin((Math.PI * (place + 0.5)) / window) ** 2);
  return Array.from({ length: columns }, (_, column) => {
    const first = Math.round(((column + 0.5) / columns) * samples.length - window / 2);
    const [real, imaginary] = [new Float64Array(size), new Float64Array(size)];
    for (let place = 0; place < window; place++) real[place] = weights[place] * (samples[first + place] ?? 0);
    fourier(real, imaginary);
    return Float32Array.from({ length: bins }, (_, bin) => {
      return 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-10);
    });
  });
}
