/** The view that trains a model on what is checked, and shows how it goes. */

import { make } from "../elements.js";
import { clock } from "../times.js";
import { Choice } from "../train/choice.js";
import { Progress } from "../train/progress.js";

const OFTEN = 2000; // ms between two questions for the state while a training runs
const SELDOM = 10000; // ms otherwise: another person may start one

export async function show(root, { api, t, session }) {
  root.append(make("h1", {}, t("place.train")));
  const missing = session.folder === null ? "train.folder" : session.train ? null : "train.torch";
  if (missing) {
    root.append(make("p", {}, t(missing)));
    return () => {};
  }
  const view = new TrainView(root, { api, t, session });
  await view.load();
  return () => view.leave();
}

class TrainView {
  constructor(root, { api, t, session }) {
    Object.assign(this, { root, api, t, session });
    this.shown = null; // the state of the training that was shown last
    this.timer = null;
    this.left = false;
    this.setup = make("div", {});
    this.progress = new Progress(t, {
      stop: () => this.act("api/training/stop"),
      proceed: () => this.act("api/training/continue"),
      again: () => this.choose(true),
      use: (model) => (session.model = model), // the view of recordings offers it first
    });
    root.append(make("p", { class: "hint" }, t("train.intro")), this.progress.root, this.setup);
  }

  async load() {
    const [{ recordings }, { prompts, folder }] = await Promise.all([
      this.api.get("api/recordings"),
      this.api.get("api/prompts"),
    ]);
    const choice = new Choice({
      t: this.t,
      sources: this.sources(recordings, prompts, folder),
      models: this.session.models.map((model) => model.id),
      look: (sources) => this.api.post("api/training/prepare", { sources }),
      start: (settings) => this.begin(settings),
      complain: (message) => this.session.complain(message),
    });
    this.setup.append(choice.root);
    this.setup.hidden = true;
    this.session.say(this.t("edit.loading")); // the service answers once it has loaded the model of the last training
    await this.poll();
    this.session.say("");
  }

  /** Return what can be chosen to learn from: recordings with checked segments, and the recorded prompts. */
  sources(recordings, prompts, folder) {
    const { t } = this;
    const spoken = prompts.filter((prompt) => prompt.recorded).length;
    const read = { id: folder, name: t("train.source.read"), detail: t("train.source.prompts", { count: spoken }) };
    return [
      ...(spoken ? [read] : []),
      ...recordings
        .filter(({ checked }) => checked)
        .map(({ id, checked, duration }) => {
          const long = duration === null ? "" : clock(duration, 0);
          return { id, name: id, detail: t("train.source.recording", { count: checked, duration: long }) };
        }),
    ];
  }

  async begin(settings) {
    await this.api.post("api/training", settings);
    await this.poll();
    this.root.scrollIntoView();
  }

  async act(path) {
    this.session.complain(null);
    try {
      await this.api.post(path, {});
      await this.poll();
    } catch (error) {
      this.session.complain(error.message);
    }
  }

  /** Show the form of a training, or hide it while one runs or its result is shown. */
  choose(open) {
    this.setup.hidden = !open;
    if (open) this.setup.scrollIntoView();
  }

  async poll() {
    clearTimeout(this.timer);
    let running = this.shown === "running";
    try {
      const state = await this.api.get("api/training");
      if (this.left) return;
      if (this.silent) this.session.complain(null);
      this.silent = false;
      running = state.state === "running";
      this.progress.show(state);
      if (state.state !== this.shown) await this.turned(state);
    } catch (error) {
      if (this.left) return;
      this.silent = true; // a service that starts again finds its training
      this.session.complain(error.message);
    }
    clearTimeout(this.timer);
    if (!this.left) this.timer = setTimeout(() => this.poll(), running ? OFTEN : SELDOM);
  }

  /** Show the right form for a state that is new, and say it if it came while the view was shown. */
  async turned({ state, model }) {
    const before = this.shown;
    this.shown = state;
    this.setup.hidden = state !== "none";
    if (before !== null) this.session.say(this.t(`train.state.${state}`));
    if (model && !this.session.models.some(({ id }) => id === model)) await this.session.refresh();
  }

  leave() {
    this.left = true;
    clearTimeout(this.timer);
    this.progress.close();
  }
}
