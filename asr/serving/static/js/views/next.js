/** The view that says which recordings to work on next, and how many minutes the drafts have saved. */

import { make } from "../elements.js";
import { clock, percent } from "../times.js";

export async function show(root, { api, t, session }) {
  root.append(make("h1", {}, t("place.next")));
  if (session.folder === null) {
    root.append(make("p", {}, t("next.folder")));
    return () => {};
  }
  const [{ recordings }, effort] = await Promise.all([api.get("api/next"), api.get("api/effort")]);
  root.append(...ranking(recordings, api, t), ...saved(effort, t));
  return () => {};
}

function ranking(recordings, api, t) {
  if (!recordings.length) {
    return [make("p", {}, t("next.none")), make("a", { class: "button", href: "#/recordings" }, t("place.recordings"))];
  }
  const lines = recordings.map(({ id, reason, confidence, duration }) => {
    const facts = [
      duration === null ? null : clock(duration, 0),
      confidence === null ? null : t("next.confidence", { share: percent(confidence) }),
    ];
    return make(
      "li",
      {},
      make("a", { href: `#/edit/${api.encoded(id)}` }, make("bdi", { dir: "auto" }, id)),
      make("p", {}, reason),
      make("p", { class: "hint" }, facts.filter(Boolean).join(" · ")),
    );
  });
  return [make("p", { class: "hint" }, t("next.order")), make("ol", { class: "ranking" }, ...lines)];
}

function saved({ correcting, typing, saved_minutes: minutes }, t) {
  const rate = ({ minutes: work, audio_minutes: sound }) => (sound > 0 ? work / sound : null);
  const row = (name, effort) => {
    const each = rate(effort);
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, t(`next.${name}`)),
      make("td", {}, t("next.minutes", { minutes: effort.audio_minutes.toFixed(1) })),
      make("td", {}, t("next.minutes", { minutes: effort.minutes.toFixed(1) })),
      make("td", {}, each === null ? t("next.unmeasured") : t("next.minutes", { minutes: each.toFixed(1) })),
    );
  };
  const columns = ["work", "sound", "time", "each"].map((name) => make("th", { scope: "col" }, t(`next.${name}`)));
  const head = make("thead", {}, make("tr", {}, ...columns));
  const body = make("tbody", {}, row("typing", typing), row("correcting", correcting));
  const gain = minutes === null ? null : Math.round(Math.abs(minutes));
  const sentence = minutes === null ? "next.saved.unknown" : minutes >= 0 ? "next.saved" : "next.lost";
  return [
    make("h2", {}, t("next.effort")),
    make("p", { class: minutes === null ? "hint" : "saved" }, t(sentence, { count: gain })),
    make("div", { class: "scroll" }, make("table", {}, head, body)),
    make("p", { class: "hint" }, t("next.how")),
  ];
}
