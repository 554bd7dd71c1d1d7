/** The dialogs of the editor: the keys, and two versions of one document. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock } from "../times.js";
import { differences } from "./document.js";
import { KEYS } from "./keys.js";

/** Show a dialog; return a promise of the value of the button that closes it, "" for Escape. */
export function ask(title, content, buttons) {
  const dialog = make(
    "dialog",
    { "aria-label": title },
    make("form", { method: "dialog" }, make("h2", {}, title), content, make("div", { class: "bar end" }, ...buttons)),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

export function help() {
  const rows = KEYS.map(({ action, keys, where }) => {
    const names = keys.flatMap((key, index) => [index ? " " : "", make("kbd", {}, key.replaceAll("Arrow", ""))]);
    return make("tr", {}, make("td", {}, names), make("td", {}, t(`key.${action}`), where === "outside" ? ` (${t("key.outside")})` : ""));
  });
  const table = make("table", { class: "keys" }, make("tbody", {}, rows));
  return ask(t("help.title"), make("div", {}, make("p", { class: "hint" }, t("help.note")), table), [
    make("button", { class: "main" }, t("help.close")),
  ]);
}

/** Show what differs between two versions; return "mine", "theirs" or "" for a decision that is put off. */
export function conflict(mine, theirs) {
  const different = differences(mine, theirs);
  const column = (title, segments) =>
    make(
      "section",
      {},
      make("h3", {}, title),
      segments.length ? null : make("p", { class: "hint" }, t("conflict.nothing")),
      segments.map(({ start, end, text, checked }) =>
        make(
          "p",
          {},
          make("small", {}, `${clock(start)} – ${clock(end)}${checked ? ` · ${t("edit.checked")}` : ""}`),
          make("span", { dir: "auto", class: "version" }, text),
        ),
      ),
    );
  const content = make(
    "div",
    {},
    make("p", {}, t("conflict.explain")),
    make(
      "div",
      { class: "versions" },
      column(t("conflict.mine"), different.mine),
      column(t("conflict.theirs"), different.theirs),
    ),
    make("p", { class: "hint" }, t("conflict.undo")),
  );
  return ask(t("conflict.title"), content, [
    make("button", { value: "mine" }, t("conflict.keep")),
    make("button", { value: "theirs", class: "main" }, t("conflict.take")),
  ]);
}
