/** Durations in words. */

/** Return seconds as "40 s", "12 min" or "1 h 20 min". */
export function inWords(seconds, t) {
  if (seconds < 59.5) return t("time.seconds", { seconds: Math.max(1, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t("time.minutes", { minutes });
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return rest ? t("time.hours.minutes", { hours, minutes: rest }) : t("time.hours", { hours });
}
