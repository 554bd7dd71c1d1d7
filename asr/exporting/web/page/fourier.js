/** The discrete Fourier transform of any size. */

/** Return a function that transforms `real` and `imaginary`, `size` numbers each, in place: the first `bins` hold. */
export function fourier(size, bins) {
  return size & (size - 1) ? bluestein(size, bins) : radix2(size);
}

/** Transform a power of two by halves (Cooley and Tukey 1965). */
function radix2(size) {
  const angles = Array.from({ length: size / 2 }, (_, turn) => (-2 * Math.PI * turn) / size);
  const cosines = Float64Array.from(angles, Math.cos);
  const sines = Float64Array.from(angles, Math.sin);
  return (real, imaginary) => {
    reverse(real);
    reverse(imaginary);
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let turn = 0; turn < half; turn++) {
        const cosine = cosines[turn * stride];
        const sine = sines[turn * stride];
        for (let low = turn; low < size; low += 2 * half) {
          const high = low + half;
          const re = real[high] * cosine - imaginary[high] * sine;
          const im = real[high] * sine + imaginary[high] * cosine;
          real[high] = real[low] - re;
          imaginary[high] = imaginary[low] - im;
          real[low] += re;
          imaginary[low] += im;
        }
      }
    }
  };
}

/** Move each of a power of two numbers to the place whose bits are in reverse order. */
function reverse(numbers) {
  for (let place = 1, other = 0; place < numbers.length; place++) {
    let bit = numbers.length >> 1;
    for (; other & bit; bit >>= 1) other ^= bit;
    other ^= bit;
    if (place < other) {
      const number = numbers[place];
      numbers[place] = numbers[other];
      numbers[other] = number;
    }
  }
}

/** Transform any size as a convolution with a chirp, whose size is a power of two (Bluestein 1970). */
function bluestein(size, bins) {
  const wide = 2 ** Math.ceil(Math.log2(size + bins - 1));
  const transform = radix2(wide);
  const [chirp, filter, work] = Array.from({ length: 3 }, () => [new Float64Array(wide), new Float64Array(wide)]);
  for (let place = 0; place < size; place++) {
    const angle = (Math.PI * (place ** 2 % (2 * size))) / size;
    [chirp[0][place], chirp[1][place]] = [Math.cos(angle), -Math.sin(angle)];
    for (const one of place < bins ? [place, (wide - place) % wide] : [wide - place]) {
      [filter[0][one], filter[1][one]] = [Math.cos(angle) / wide, Math.sin(angle) / wide];
    }
  }
  transform(...filter);
  return (real, imaginary) => {
    for (const part of work) part.fill(0);
    work[0].set(real);
    work[1].set(imaginary);
    multiply(work, chirp);
    transform(work[0], work[1]);
    multiply(work, filter);
    transform(work[1], work[0]); // swapped: the inverse
    multiply(work, chirp);
    real.set(work[0].subarray(0, bins));
    imaginary.set(work[1].subarray(0, bins));
  };
}

/** Multiply complex numbers by others in place. */
function multiply([real, imaginary], [cosines, sines]) {
  for (let place = 0; place < real.length; place++) {
    const product = real[place] * cosines[place] - imaginary[place] * sines[place];
    imaginary[place] = real[place] * sines[place] + imaginary[place] * cosines[place];
    real[place] = product;
  }
}
