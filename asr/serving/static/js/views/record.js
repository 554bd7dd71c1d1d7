/** The view that records prompts: sentences to read aloud, one at a time. */

import { make } from "../elements.js";
import { promptForm } from "../record/list.js";
import { Recorder } from "../record/recorder.js";
import { Stage } from "../record/stage.js";
import { Takes } from "../record/takes.js";
import { unsavedBox } from "../record/unsaved.js";

const SHORTEST = 0.3; // seconds of a take; a shorter one is a slip of the finger
const REFUSALS = ["insecure", "NotAllowedError", "NotFoundError", "NotReadableError"]; // kinds that have words here
const LONGEST = 595; // seconds of a take: the service keeps 600
// Warnings of the service that have words here.
const WARNINGS = [
  "clipped",
  "silent",
  "very quiet",
  "much noise",
  "too short",
  "cut off at the beginning",
  "cut off at the end",
];
const FREE = "input, textarea, select, button, a, summary, audio, [contenteditable]"; // elements with keys of their own

let takes = null; // takes on their way; they outlive the view, so that none is lost

export async function show(root, { api, t, session }) {
  root.append(make("h1", {}, t("record.title")));
  if (session.folder === null) {
    root.append(make("p", {}, t("record.folder")));
    return () => {};
  }
  takes ??= begin(api);
  const view = new PromptView(root, { api, t, session });
  try {
    await view.load();
  } catch (error) {
    view.leave();
    throw error;
  }
  return () => view.leave();
}

/** Begin to keep takes: the browser asks before the page is closed while one waits. */
function begin(api) {
  const made = new Takes(({ number, started, blob }) => {
    return api.upload(`api/prompts/${number}/recording?started=${encodeURIComponent(started.toISOString())}`, blob);
  });
  window.addEventListener("beforeunload", (event) => made.waiting.length && event.preventDefault());
  return made;
}

class PromptView {
  constructor(root, { api, t, session }) {
    Object.assign(this, { root, api, t, session });
    this.prompts = [];
    this.place = 0; // in `prompts`
    this.phase = "idle";
    this.shown = []; // takes in the box of those that are not stored
    this.fresh = new Map(); // the last take of each prompt that was recorded here, by number
    this.recorder = new Recorder({
      longest: LONGEST,
      level: (level) => this.stage.meter.show(level),
      ended: (reason) => this.ended(reason),
    });
    this.stage = new Stage(t, {
      back: () => this.go(this.place - 1),
      record: () => this.toggle(),
      play: () => this.play(),
      next: () => this.next(),
    });
    this.player = make("audio", { onended: () => this.idle(), onerror: () => this.unplayable() });
    this.progress = make("div", { class: "prompt-progress" });
    this.unsaved = make("div");
    this.list = make("ol", { class: "prompt-list" });
    this.form = make("div", { class: "prompt-edit" });
    this.body = make("div", { hidden: true }, this.progress, this.stage.root, this.unsaved, this.keys(), this.lists());
    root.append(this.body, this.form, this.player);
    takes.changed = (take, answer) => this.changed(take, answer);
    this.listeners = new AbortController();
    const { signal } = this.listeners;
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    window.addEventListener("beforeunload", (event) => this.phase === "idle" || event.preventDefault(), { signal });
  }

  keys() {
    const lines = ["space", "enter", "arrows", "p"].map((key) => {
      const [name, does] = [this.t(`record.key.${key}`), this.t(`record.key.${key}.does`)];
      return make("span", { class: "key-line" }, make("kbd", {}, name), ` ${does}`);
    });
    return make("p", { class: "hint keys" }, ...lines);
  }

  lists() {
    const edit = make("button", { type: "button", onclick: () => this.edit() }, this.t("record.list.change"));
    const heading = make("summary", {}, this.t("record.list"));
    return make("details", { class: "prompts" }, heading, make("div", { class: "bar" }, edit), this.list);
  }

  async load() {
    const { prompts, folder } = await this.api.get("api/prompts");
    this.prompts = prompts;
    this.folder = folder;
    this.body.hidden = !prompts.length;
    if (!prompts.length) return this.edit();
    this.form.replaceChildren();
    this.lines = prompts.map((prompt, place) => this.line(prompt, place));
    this.list.replaceChildren(...this.lines);
    const first = prompts.findIndex((prompt) => !this.isRecorded(prompt));
    this.show(first < 0 ? 0 : first);
    this.stage.card.focus({ preventScroll: true });
  }

  get prompt() {
    return this.prompts[this.place];
  }

  isRecorded(prompt) {
    return prompt.recorded || takes.waiting.some((take) => take.number === prompt.number);
  }

  /** Show the prompt at a place, once the take that goes on is kept. */
  async go(place) {
    if (place < 0 || place >= this.prompts.length) return;
    if (this.phase === "recording") await this.stop();
    if (this.phase !== "idle") return;
    this.player.pause();
    this.show(place);
  }

  show(place) {
    this.lines[this.place]?.firstChild.removeAttribute("aria-current");
    this.lines[place].firstChild.setAttribute("aria-current", "true");
    this.place = place;
    this.stage.prompt(this.prompt, place + 1, this.prompts.length);
    this.draw();
  }

  /** Go on: to the next prompt, and from the last one to the first that has no recording. */
  async next() {
    if (this.phase === "recording") await this.stop();
    if (this.place + 1 < this.prompts.length) return this.go(this.place + 1);
    const missing = this.prompts.findIndex((prompt) => !this.isRecorded(prompt));
    if (missing >= 0) return this.go(missing);
    this.stage.say(this.t("record.all"));
  }

  draw() {
    const done = this.prompts.filter((prompt) => this.isRecorded(prompt)).length;
    const count = this.prompts.length;
    this.progress.replaceChildren(
      make("label", { for: "prompts-done" }, this.t("record.progress", { done, count })),
      make("progress", { id: "prompts-done", max: count, value: done }),
      done === count ? make("a", { href: "#/train" }, this.t("record.train")) : "",
    );
    this.lines[this.place].querySelector(".hint").textContent = this.mark(this.prompt);
    const { failed } = takes;
    if (failed.length !== this.shown.length || failed.some((take, index) => take !== this.shown[index])) {
      this.unsaved.replaceChildren(unsavedBox({ t: this.t, failed, retry: () => takes.run() }) ?? "");
      this.shown = failed;
    }
    this.stage.phase(this.phase, this.isRecorded(this.prompt));
  }

  /** Return the mark of a prompt in the list. */
  mark(prompt) {
    return this.isRecorded(prompt) ? this.t("record.list.done") : "";
  }

  line(prompt, place) {
    const attributes = { type: "button", class: "prompt-line", onclick: () => this.jump(place) };
    const text = make("bdi", { dir: "auto" }, prompt.text);
    const state = make("span", { class: "hint" }, this.mark(prompt));
    return make("li", { value: prompt.number }, make("button", attributes, text, state));
  }

  async jump(place) {
    await this.go(place);
    this.stage.card.scrollIntoView({ block: "center" });
    this.stage.card.focus({ preventScroll: true });
  }

  toggle() {
    if (this.phase === "recording") return this.stop();
    if (this.phase === "idle") return this.start();
  }

  async start() {
    this.player.pause();
    this.session.complain(null);
    this.stage.warn([]);
    if (!this.recorder.microphone) {
      this.set("opening", this.t("record.state.opening"));
      try {
        await this.recorder.open();
      } catch (error) {
        this.session.complain(this.refusal(error));
        return this.set("idle", "");
      }
      if (this.listeners.signal.aborted) return this.recorder.close();
    }
    this.recorder.start();
    this.set("recording", this.t("record.state.recording"));
  }

  /** Return why the microphone cannot be used, in the language of the page where it has the words. */
  refusal(error) {
    return REFUSALS.includes(error.kind) ? this.t(`microphone.${error.kind}`) : error.message;
  }

  async stop() {
    const { prompt } = this;
    this.set("ending", this.t("record.state.saving"));
    const { blob, seconds, started } = await this.recorder.stop();
    this.phase = "idle";
    if (seconds < SHORTEST) {
      this.set("idle", this.t("record.state.short"));
      return;
    }
    this.keep({ number: prompt.number, text: prompt.text, blob, seconds, started, url: URL.createObjectURL(blob) });
    this.set("idle", this.t("record.state.saving"));
  }

  /** Keep a take until the service has stored it. */
  keep(take) {
    this.forget(this.fresh.get(take.number));
    this.fresh.set(take.number, take);
    takes.add(take);
  }

  /** Free the memory of a take, unless it waits to be stored. */
  forget(take) {
    if (take && !takes.waiting.includes(take)) URL.revokeObjectURL(take.url);
  }

  /** Show what became of a take: it was stored, or, without an answer, it was not. */
  changed(take, answer) {
    const prompt = this.prompts.find((one) => one.number === take.number);
    if (answer && prompt) {
      Object.assign(prompt, { recorded: true, duration: answer.duration ?? take.seconds });
      this.lines[this.prompts.indexOf(prompt)].querySelector(".hint").textContent = this.mark(prompt);
    }
    if (prompt && prompt === this.prompt && this.phase === "idle") {
      this.stage.say(answer ? this.stage.recorded(prompt.duration) : this.t("record.state.unsaved"));
      this.stage.warn((answer?.warnings ?? []).map((warning) => this.warning(warning)));
    }
    if (answer && this.fresh.get(take.number) !== take) this.forget(take);
    this.draw();
  }

  /** Return a warning of the service in the language of the page where it has the words. */
  warning(name) {
    return WARNINGS.includes(name) ? this.t(`record.warning.${name}`) : name;
  }

  /** Keep what a take has when the microphone fails or the take is too long. */
  async ended(reason) {
    if (this.phase === "recording") await this.stop();
    if (reason === "lost") this.stage.meter.off();
    this.session.complain(this.t(`record.ended.${reason}`));
  }

  async play() {
    if (this.phase !== "idle" || !this.isRecorded(this.prompt)) return;
    if (!this.player.paused) return this.player.pause();
    const { number } = this.prompt;
    const take = this.fresh.get(number);
    const id = `${this.folder}/${String(number).padStart(4, "0")}.wav`;
    this.player.src = take ? take.url : `api/recordings/${this.api.encoded(id)}/audio`;
    await this.player.play().catch(() => {}); // the event of the error explains it
  }

  unplayable() {
    this.session.complain(this.t("record.unplayable"));
  }

  idle() {
    this.stage.card.focus({ preventScroll: true });
  }

  set(phase, message) {
    this.phase = phase;
    this.stage.say(message);
    this.draw();
  }

  key(event) {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || this.body.hidden) return;
    if (event.target.closest(FREE)) return;
    const actions = {
      " ": () => this.toggle(),
      Enter: () => this.next(),
      ArrowRight: () => this.next(),
      ArrowLeft: () => this.go(this.place - 1),
      p: () => this.play(),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  edit() {
    const text = this.prompts.map((prompt) => prompt.text).join("\n");
    const save = async (changed) => {
      if (!changed.trim()) throw new Error(this.t("record.list.empty"));
      await this.api.put("api/prompts", { text: changed });
      this.session.complain(null);
      await this.load();
    };
    const cancel = this.prompts.length ? () => this.close() : null;
    const complain = (message) => this.session.complain(message);
    this.form.replaceChildren(promptForm({ t: this.t, text, save, cancel, complain }));
    this.body.hidden = true;
    this.form.querySelector("textarea").focus();
  }

  close() {
    this.session.complain(null);
    this.form.replaceChildren();
    this.body.hidden = false;
  }

  async leave() {
    this.listeners.abort();
    this.player.pause();
    if (this.phase === "recording") await this.stop();
    takes.changed = (take, answer) => {
      if (answer) this.forget(take);
      else this.session.complain(this.t("record.unsaved.elsewhere"));
    };
    await this.recorder.close();
    for (const take of this.fresh.values()) this.forget(take);
  }
}
