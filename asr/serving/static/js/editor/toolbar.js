/** The buttons above the timeline. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { hint } from "./keys.js";

const SPEEDS = [0.5, 0.65, 0.8, 1, 1.25, 1.5, 2];

/** Return a button that does an action of the editor. It leaves the cursor in the text. */
function button(editor, action, label, properties = {}) {
  const key = hint(action);
  return make(
    "button",
    {
      type: "button",
      title: key ? `${t(`key.${action}`)} (${key})` : t(`key.${action}`),
      "aria-label": t(`key.${action}`),
      "aria-keyshortcuts": key.replace("Ctrl", "Control") || null,
      onpointerdown: (event) => event.preventDefault(),
      onclick: () => editor.act(action),
      ...properties,
    },
    label,
  );
}

export class Toolbar {
  constructor(root, editor, { threshold, name }) {
    this.play = button(editor, "toggle", "▶", { class: "main play" });
    this.loop = button(editor, "loop", "↻", { "aria-pressed": "false" });
    this.undo = button(editor, "undo", "↶");
    this.redo = button(editor, "redo", "↷");
    this.spectrogram = button(editor, "spectrogram", t("edit.spectrogram"), { "aria-pressed": "true", class: "optional" });
    this.saveState = make("span", { class: "state", role: "status" });
    this.clock = make("span", { class: "clock", "aria-hidden": "true" });
    this.count = make("span", { class: "count hint" });
    this.speed = make(
      "select",
      { "aria-label": t("edit.speed"), title: t("edit.speed"), onchange: () => editor.setSpeed(Number(this.speed.value)) },
      SPEEDS.map((speed) => make("option", { value: speed, selected: speed === 1 }, `${speed} ×`)),
    );
    this.doubt = make(
      "select",
      { onchange: () => editor.setThreshold(Number(this.doubt.value)) },
      [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95].map((share) =>
        make("option", { value: share, selected: share === threshold }, share ? `${Math.round(share * 100)} %` : t("edit.noDoubt")),
      ),
    );
    const menu = (action, label) => button(editor, action, `${label} ▾`, { "aria-haspopup": "menu" });
    this.transcribe = menu("transcribe", t("edit.transcribe"));
    this.download = menu("download", t("edit.download"));
    root.append(
      make(
        "div",
        { class: "bar top" },
        make("a", { href: "#/recordings", class: "back", "aria-label": t("edit.back") }, "←"),
        make("h1", { class: "wide", dir: "auto" }, name),
        this.count,
        this.saveState,
        button(editor, "save", t("edit.save"), { "aria-label": null }),
        this.transcribe,
        this.download,
        button(editor, "help", "?"),
      ),
      make(
        "div",
        { class: "bar tools", role: "toolbar", "aria-label": t("edit.tools") },
        this.play,
        this.clock,
        this.speed,
        this.loop,
        make("span", { class: "gap" }),
        make("label", { class: "optional" }, t("edit.shade"), " ", this.doubt),
        button(editor, "previousDoubt", "⇤ ?"),
        button(editor, "nextDoubt", "? ⇥"),
        button(editor, "alternatives", t("edit.alternatives"), { "aria-label": null }),
        make("span", { class: "gap" }),
        button(editor, "split", t("edit.split"), { "aria-label": null }),
        button(editor, "join", t("edit.join"), { "aria-label": null }),
        this.undo,
        this.redo,
        make("span", { class: "gap" }),
        button(editor, "zoomOut", "−"),
        button(editor, "zoomIn", "+"),
        this.spectrogram,
      ),
    );
  }

  /** Show how far the reader has come, and what can be undone. */
  show({ checked, segments, past, future }) {
    this.count.textContent = segments ? t("edit.count", { checked, count: segments }) : "";
    this.undo.disabled = !past;
    this.redo.disabled = !future;
  }

  showState(state, detail = "") {
    this.saveState.textContent = t(`state.${state}`);
    this.saveState.dataset.state = state;
    this.saveState.title = detail;
  }
}
