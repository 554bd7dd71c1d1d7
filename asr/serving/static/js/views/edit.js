/** The view that corrects one recording: loads its document and puts the parts of the editor together. */

import { Editor } from "../editor/editor.js";
import { make } from "../elements.js";

export async function show(root, { api, t, session, params }) {
  const address = `api/documents/${api.encoded(params.id)}`;
  let editor = null;

  /** Open the document; `tier` is the tier of an ELAN file or a TextGrid that begins a document. */
  async function open(tier = null) {
    root.replaceChildren(make("p", { class: "hint" }, t("edit.loading")));
    const opened = await api.get(tier === null ? address : `${address}?tier=${encodeURIComponent(tier)}`);
    const notes = make("div", { class: "notes", role: "status" });
    const tell = (lines) => notes.replaceChildren(...lines.map((line) => make("p", { class: "hint", dir: "auto" }, line)));
    tell(opened.notes);
    root.replaceChildren(notes);
    if (!opened.duration) {
      session.complain(t("edit.noSound"));
      return;
    }
    if (!opened.version && opened.tiers.length > 1) root.append(tiers(opened.tiers, tier));
    editor = new Editor(root, { api, session, id: params.id, opened, tell });
    await editor.start();
  }

  /** Offer another tier, until the document is saved for the first time. */
  function tiers(names, chosen) {
    const choice = make(
      "select",
      {
        onchange: async () => {
          const wanted = choice.value;
          if (await editor.leave()) await open(wanted);
        },
      },
      names.map((name) => make("option", { selected: name === chosen }, name)),
    );
    return make("label", { class: "hint" }, t("edit.tier"), " ", choice);
  }

  await open();
  document.title = `${params.id} · ${t("title")}`;
  return () => editor?.leave();
}
