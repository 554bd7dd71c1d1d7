/** The editor of one recording. */

import { make } from "../elements.js";

export async function show(root, { params }) {
  root.append(make("h1", {}, params.id));
}
