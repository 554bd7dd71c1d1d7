/** Times and shares as people read them. */

/** Return seconds as `0:07.3` or `1:02:03.4`; `digits` after the point. */
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(seconds * scale) / scale;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Return a share in 0..1 as a whole percentage. */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}
