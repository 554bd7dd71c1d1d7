/** Numbers as Python and NumPy compute them, so that sounds are cut at equal samples. */

/** Round to the nearest integer, and halves to the even one. */
export function rounded(number) {
  const nearest = Math.round(number);
  return nearest - number === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

/** Return percentiles of numbers, interpolated linearly. */
export function percentiles(numbers, ...percents) {
  const sorted = Float64Array.from(numbers).sort();
  return percents.map((percent) => {
    const place = (percent / 100) * (sorted.length - 1);
    const low = Math.floor(place);
    return sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
  });
}
