/** The table of recordings: name, length, state, confidence, and what can be done. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock, percent } from "../times.js";

const MARKS = { new: "○", draft: "◔", partly: "◑", checked: "●", error: "⚠" };

/** Return the row of a recording; `job` is `{state, progress}` while it is transcribed. */
function row(recording, { api, model, job, transcribe }) {
  const { id, duration, segments, checked, confidence, error } = recording;
  const state = error ? "error" : recording.state;
  const slash = id.lastIndexOf("/") + 1;
  const name = [slash ? make("span", { class: "hint" }, id.slice(0, slash)) : null, id.slice(slash)];
  const known = confidence !== null && confidence !== undefined;
  let action = null;
  if (job?.state === "waiting") action = make("span", { class: "hint" }, t("recordings.waiting"));
  else if (job) action = make("progress", { max: 1, value: job.progress, "aria-label": t("recordings.progress", { percent: Math.round(100 * job.progress) }) });
  else if (model && state === "new") {
    const label = t("recordings.transcribeName", { name: id });
    action = make("button", { type: "button", "aria-label": label, onclick: () => transcribe([recording]) }, t("recordings.transcribe"));
  }
  return make(
    "tr",
    { class: state },
    make(
      "th",
      { scope: "row", dir: "auto" },
      error ? name : make("a", { href: `#/edit/${api.encoded(id)}` }, name),
      error ? make("p", { class: "reason" }, error) : null,
    ),
    make("td", { class: "number" }, duration === null ? t("recordings.unknown") : clock(duration, 0)),
    make(
      "td",
      { class: "state" },
      make("span", { "aria-hidden": "true" }, `${MARKS[state]} `),
      t(`recordings.state.${state}`, { checked, count: segments }),
    ),
    make("td", { class: "number confidence" }, known ? percent(confidence) : ""),
    make("td", { class: "action" }, action),
  );
}

/** Return the table of recordings. */
export function table(recordings, options) {
  const heads = ["name", "duration", "state", "confidence", "action"].map((key) => {
    const text = t(`recordings.${key}`);
    return make("th", { scope: "col", class: key }, key === "action" ? make("span", { class: "unseen" }, text) : text);
  });
  return make(
    "table",
    { class: "recordings" },
    make("thead", {}, make("tr", {}, heads)),
    make("tbody", {}, recordings.map((recording) => row(recording, { ...options, job: options.jobs.get(recording.id) }))),
  );
}
