/** The list of prompts as text to write, paste or load. */

import { make } from "../elements.js";

/** Return the text of a file, in UTF-8, or UTF-16 with its mark; null if it is in another encoding. */
export async function textOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const marks = { "255,254": "utf-16le", "254,255": "utf-16be" };
  try {
    return new TextDecoder(marks[bytes.subarray(0, 2).join()] ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/**
 * Make the form of the list.
 *
 * `save(text)` stores the text, one prompt a line; `complain(message)` shows what went wrong. `cancel` closes the form;
 * without it the form has no such button.
 */
export function promptForm({ t, text, save, cancel, complain }) {
  const area = make("textarea", { id: "prompt-text", rows: 10, dir: "auto", spellcheck: "false" });
  area.value = text;
  const files = make("input", { type: "file", accept: ".txt,text/plain", onchange: load });
  const button = make("button", { type: "submit", class: "main" }, t("record.list.save"));

  async function load() {
    const [file] = files.files;
    files.value = ""; // so that the file that was chosen can be chosen again
    if (!file) return;
    const loaded = await textOf(file);
    if (loaded === null) return complain(t("record.list.encoding", { name: file.name }));
    complain(null);
    area.value = [area.value.trimEnd(), loaded.trim()].filter(Boolean).join("\n");
    area.focus();
  }

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      await save(area.value);
    } catch (error) {
      complain(error.message);
    } finally {
      button.disabled = false;
    }
  }

  return make(
    "form",
    { class: "prompt-form", onsubmit: submit },
    make("p", { class: "hint" }, t("record.list.intro")),
    make("label", { for: "prompt-text" }, t("record.list.label")),
    area,
    make("p", { class: "hint" }, t("record.list.hint")),
    make(
      "div",
      { class: "bar" },
      button,
      make("label", { class: "button" }, t("record.list.load"), files),
      cancel ? make("button", { type: "button", onclick: cancel }, t("record.list.cancel")) : null,
    ),
  );
}
