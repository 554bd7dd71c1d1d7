/** The view that corrects one recording: loads its document and puts the parts of the editor together. */

import { Editor } from "../editor/editor.js";
import { make } from "../elements.js";

export async function show(root, { api, t, session, params }) {
  const address = `api/documents/${api.encoded(params.id)}`;
  root.append(make("p", { class: "hint" }, t("edit.loading")));
  const opened = await api.get(address);
  root.replaceChildren();
  document.title = `${params.id} · ${t("title")}`;
  const editor = new Editor(root, { api, session, id: params.id, opened });
  await editor.start();
  return () => editor.leave();
}
