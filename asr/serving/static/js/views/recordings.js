/** The view of all recordings: their list, adding recordings, and transcribing them. */

import { make } from "../elements.js";
import { acceptDrops, chosen } from "../recordings/files.js";
import { table } from "../recordings/list.js";
import { microphone } from "../recordings/microphone.js";
import { showSingle } from "../recordings/single.js";
import { clock } from "../times.js";

const AT_ONCE = 2; // transcriptions that are asked for at a time
const MOST_PROBLEMS = 5; // shown in words
const ANNOTATIONS = /\.(eaf|pfsx|textgrid)$/i;

export async function show(root, context) {
  if (context.session.folder === null) return showSingle(root, context);
  const { api, t, session } = context;
  const jobs = new Map(); // id -> {state, progress}
  const leaving = new AbortController();
  let recordings = [];
  let problems = [];

  const files = make("input", { type: "file", multiple: true, onchange: () => add(chosen(files)) });
  const folder = make("input", { type: "file", webkitdirectory: true, onchange: () => add(chosen(folder)) });
  const sound = microphone((file) => add([{ file, folder: "" }]), session.complain);
  const model = make(
    "select",
    { "aria-label": t("recordings.model"), onchange: () => draw() },
    session.models.map(({ id }) => make("option", { selected: id === session.model }, id)),
  );
  const all = make("button", { type: "button", class: "main", onclick: () => transcribe(fresh()) });
  const filter = make("input", { type: "search", placeholder: t("recordings.filter"), "aria-label": t("recordings.filter"), oninput: () => draw() });
  const summary = make("p", { class: "hint summary" });
  const list = make("div");
  root.append(
    make("h1", { class: "unseen" }, t("place.recordings")),
    make(
      "div",
      { class: "bar" },
      make("label", { class: "button" }, t("recordings.add"), files),
      make("label", { class: "button folder" }, t("recordings.addFolder"), folder),
      sound.button,
      make("span", { class: "wide" }),
      session.models.length > 1 ? model : null,
      all,
    ),
    make("p", { class: "hint drop" }, t("recordings.drop", { folder: session.folder })),
    make("div", { class: "bar" }, summary, make("span", { class: "wide" }), filter),
    list,
  );

  /** Return the recordings that nobody and nothing has transcribed yet. */
  function fresh() {
    return recordings.filter(({ id, state, error }) => state === "new" && !error && !jobs.has(id));
  }

  function draw() {
    const wanted = filter.value.normalize().toLowerCase();
    const shown = recordings.filter(({ id }) => id.normalize().toLowerCase().includes(wanted));
    const count = fresh().length;
    all.textContent = t("recordings.transcribeAll", { count });
    all.hidden = !count || !session.models.length;
    filter.hidden = recordings.length < 10;
    summary.textContent = t("recordings.summary", {
      count: recordings.length,
      duration: clock(recordings.reduce((sum, { duration }) => sum + (duration ?? 0), 0), 0),
      checked: recordings.filter(({ state }) => state === "checked").length,
    });
    summary.hidden = !recordings.length;
    const options = { api, jobs, transcribe, model: session.models.length > 0 };
    // The focus stays where it is, although the table is made anew.
    const focus = list.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    list.replaceChildren(
      recordings.length ? table(shown, options) : make("p", { class: "card hint nothing" }, t("recordings.none")),
    );
    if (focus) [...list.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === focus)?.focus();
  }

  async function load() {
    ({ recordings } = await api.get("api/recordings", { signal: leaving.signal }));
    draw();
  }

  function fail(name, error) {
    // Messages of the service begin with the name of the recording.
    problems.push(error.message.includes(name) ? error.message : t("recordings.failed", { name, reason: error.message }));
    complain();
  }

  function complain() {
    const rest = problems.length - MOST_PROBLEMS;
    const more = rest > 0 ? [t("recordings.more", { count: rest })] : [];
    session.complain([...problems.slice(0, MOST_PROBLEMS), ...more].join("\n"));
  }

  async function add(chosenFiles) {
    const found = chosenFiles.filter(({ file }) => !ANNOTATIONS.test(file.name));
    const count = chosenFiles.length - found.length;
    problems = count ? [t("recordings.annotations", { count, folder: session.folder })] : [];
    complain();
    let added = 0;
    for (const { file, folder: below } of found) {
      const data = new FormData();
      if (below) data.append("folder", below);
      data.append("file", file, file.name);
      const tell = (share) => session.say(t("recordings.uploading", { name: file.name, percent: Math.round(100 * share) }));
      tell(0);
      try {
        added += (await api.upload("api/recordings", data, tell)).recordings.length;
      } catch (error) {
        fail(file.name, error);
      }
    }
    session.say(added ? t("recordings.added", { count: added }) : "");
    await load();
  }

  async function transcribe(wanted) {
    problems = [];
    session.complain(null);
    for (const { id } of wanted) jobs.set(id, { state: "waiting", progress: 0 });
    draw();
    const waiting = [...wanted];
    const work = async () => {
      for (let one = waiting.shift(); one && !leaving.signal.aborted; one = waiting.shift()) await run(one.id);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (!leaving.signal.aborted && !problems.length) session.say(t("recordings.transcribed"));
  }

  async function run(id) {
    const tell = (job) => {
      jobs.set(id, job);
      draw();
    };
    try {
      const { job } = await api.post(`api/documents/${api.encoded(id)}/transcribe`, { model: model.value });
      const { message } = await api.job(job, tell, leaving.signal);
      if (message) fail(id, new Error(message)); // only a part could be transcribed
    } catch (error) {
      if (error.name === "AbortError") return; // the service goes on without the page
      fail(id, error);
    }
    jobs.delete(id);
    await load();
  }

  const ignore = acceptDrops(add);
  const again = () => document.hidden || load();
  document.addEventListener("visibilitychange", again); // other people work in the folder too
  await load();
  return () => {
    leaving.abort();
    ignore();
    sound.close();
    document.removeEventListener("visibilitychange", again);
  };
}
