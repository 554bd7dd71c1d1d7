/** Samples of sound that grows. */

export function appended(before, after) {
  const joined = new Float32Array(before.length + after.length);
  joined.set(before);
  joined.set(after, before.length);
  return joined;
}
