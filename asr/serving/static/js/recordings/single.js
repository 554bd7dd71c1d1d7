/** Transcription of one recording at a time, for a service that works in no folder. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock } from "../times.js";
import { acceptDrops, chosen } from "./files.js";
import { microphone } from "./microphone.js";

export function showSingle(root, { api, session }) {
  const result = make("div");
  const input = make("input", { type: "file", accept: "audio/*,video/*", onchange: () => take(chosen(input)[0]?.file) });
  const model = make("select", { "aria-label": t("recordings.model") }, session.models.map(({ id }) => make("option", {}, id)));
  const sound = microphone(take, session.complain);
  root.append(
    make("h1", {}, t("single.title")),
    make("p", { class: "hint" }, t("single.explain")),
    make(
      "div",
      { class: "bar" },
      make("label", { class: "button main" }, t("single.open"), input),
      sound.button,
      session.models.length > 1 ? model : null,
    ),
    make("p", { class: "hint drop" }, t("single.drop")),
    result,
  );
  if (!session.models.length) session.complain(t("recordings.noModel"));

  function form(file, format) {
    const data = new FormData();
    data.append("file", file, file.name);
    if (model.value) data.append("model", model.value);
    data.append("format", format);
    return data;
  }

  async function take(file) {
    if (!file) return;
    session.complain(null);
    session.say(t("single.working", { name: file.name }));
    result.replaceChildren(make("progress"));
    try {
      const answer = await api.upload("v1/transcribe", form(file, "json"));
      render(file, Array.isArray(answer) ? answer : [answer]);
      session.say("");
    } catch (error) {
      result.replaceChildren();
      session.say("");
      session.complain(error.message);
    }
  }

  async function download(file, format) {
    const content = await api.upload("v1/transcribe", form(file, format));
    const address = URL.createObjectURL(new Blob([content]));
    make("a", { href: address, download: `${file.name.replace(/\.[^.]*$/, "")}.${format}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser reads it after the click
  }

  function render(file, transcripts) {
    const segments = transcripts.flatMap((transcript) => transcript.segments ?? []);
    const text = transcripts.map((transcript) => transcript.text).join("\n");
    const whole = transcripts.every((transcript) => !transcript.segments?.length);
    const lines = segments.map(({ start, text: line }) =>
      make("p", {}, make("span", { class: "time hint" }, clock(start)), make("span", { dir: "auto" }, line)),
    );
    result.replaceChildren(
      make("h2", { dir: "auto" }, file.name),
      ...(text.trim() ? [] : [make("p", { class: "hint" }, t("single.silent", { name: file.name }))]),
      make("div", { class: "card lines" }, whole ? make("p", { dir: "auto" }, text) : lines),
      make(
        "div",
        { class: "bar" },
        make("button", { type: "button", onclick: () => copy(text) }, t("single.copy")),
        session.formats.map((format) =>
          make("button", { type: "button", onclick: () => download(file, format) }, t(`format.${format}`)),
        ),
      ),
    );
  }

  async function copy(text) {
    await navigator.clipboard.writeText(text);
    session.say(t("single.copied"));
  }

  const ignore = acceptDrops((files) => take(files[0]?.file));
  return () => {
    ignore();
    sound.close();
  };
}
