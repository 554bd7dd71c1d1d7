/** What is shown of takes that the service did not store: the reason, another try, and the take as a file. */

import { make } from "../elements.js";

/** Make the box for the takes in `failed`; null if there is none. `retry` tries to store all of them again. */
export function unsavedBox({ t, failed, retry }) {
  if (!failed.length) return null;
  const lines = failed.map((take) =>
    make(
      "li",
      {},
      make("bdi", { dir: "auto" }, take.text),
      make("span", { class: "hint" }, take.error.message),
      make("a", { class: "button", href: take.url, download: fileName(take) }, t("record.unsaved.file")),
    ),
  );
  return make(
    "section",
    { class: "unsaved", role: "alert" },
    make("p", {}, t("record.unsaved", { count: failed.length })),
    make("ul", {}, ...lines),
    make("button", { type: "button", class: "main", onclick: retry }, t("record.unsaved.retry")),
  );
}

/** Return a name for the file of a take, with the prompt's number and the time at which the take began. */
function fileName({ number, started }) {
  return `${String(number).padStart(4, "0")}-${started.toISOString().replaceAll(":", "")}.wav`;
}
