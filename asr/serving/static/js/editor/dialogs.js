/** The dialogs of the editor: the keys, and two versions of one document. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock } from "../times.js";
import { differences } from "./document.js";
import { KEYS } from "./keys.js";

/**
 * Show a dialog; return a promise of the value of the button that closes it, "" for Escape.
 *
 * The title has the focus: a reader who is typing presses no button unread.
 */
export function ask(title, content, buttons) {
  const dialog = make(
    "dialog",
    { "aria-label": title },
    make("form", { method: "dialog" }, make("h2", { tabindex: -1, autofocus: true }, title), content, make("div", { class: "bar end" }, ...buttons)),
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
  const table = make("table", { class: "key-table" }, make("tbody", {}, rows));
  return ask(t("help.title"), make("div", {}, make("p", { class: "hint" }, t("help.note")), table), [
    make("button", { class: "main" }, t("help.close")),
  ]);
}

/**
 * Show what differs between two versions; return "mine", "theirs", "both" or "" for a decision that is put off.
 *
 * `mergeable` tells whether the changes of both can be kept.
 */
export function conflict(mine, theirs, mergeable) {
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
    make("p", {}, t("conflict.explain"), mergeable ? ` ${t("conflict.apart")}` : null),
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
    make("button", { value: "theirs", class: mergeable ? null : "main" }, t("conflict.take")),
    mergeable ? make("button", { value: "both", class: "main" }, t("conflict.both")) : "",
  ]);
}
