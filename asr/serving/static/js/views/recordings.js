/** The view of all recordings: their list, adding recordings, and transcribing them. */

import { make } from "../elements.js";

export async function show(root, { t }) {
  root.append(make("h1", {}, t("place.recordings")));
}
