/** The form of a training: what to learn from, what the service says about it, for how long, and from which model. */

import { make } from "../elements.js";
import { inWords } from "./durations.js";

const BUDGETS = ["10m", "30m", "2h"];
const SECONDS = { m: 60, h: 3600 };

export class Choice {
  /**
   * Make the form.
   *
   * `sources` are the recordings to choose from, `{id, name, detail}`; `models` the names of models to begin with.
   * `look(sources)` returns `{lines, next, problems}`, where `next` is the name of the model that the data are enough
   * for, or null; `start({budget, from})` begins to train.
   */
  constructor({ t, sources, models, look, start, complain }) {
    Object.assign(this, { t, sources, look, start, complain });
    this.ready = false; // whether the service has looked at the data that is chosen, and they are enough
    this.found = make("div", { class: "found", role: "status" });
    this.lookButton = make("button", { type: "button", onclick: () => this.examine() }, t("train.look"));
    this.startButton = make("button", { type: "submit", class: "main" }, t("train.start"));
    this.startHint = make("span", { class: "hint" });
    this.minutes = make("input", {
      type: "number",
      min: 0.5,
      max: 10000,
      step: "any",
      value: 60,
      "aria-label": t("train.minutes"),
      onfocus: () => (this.root.elements.budget.value = "own"),
    });
    this.from = make(
      "select",
      { id: "train-from" },
      make("option", { value: "" }, t("train.from.nothing")),
      ...models.map((name) => make("option", { value: name }, name)),
    );
    this.root = make(
      "form",
      { class: "train-form", onsubmit: (event) => this.submit(event) },
      this.data(),
      make("div", { class: "bar" }, this.lookButton),
      this.found,
      this.time(),
      make("p", {}, make("label", { for: "train-from" }, t("train.from")), " ", this.from),
      make("p", { class: "hint" }, t("train.from.hint")),
      make("div", { class: "bar" }, this.startButton, this.startHint),
    );
    this.changed();
  }

  data() {
    const { t, sources } = this;
    const choose = () => {
      this.chosen.hidden = this.root.elements.data.value !== "chosen";
      this.changed();
    };
    const kind = (value, checked) => {
      const input = make("input", { type: "radio", name: "data", value, checked, onchange: choose });
      return make("label", { class: "line" }, input, " ", t(`train.data.${value}`));
    };
    this.chosen = make(
      "div",
      { class: "sources", hidden: true },
      ...sources.map(({ id, name, detail }) => {
        const box = make("input", { type: "checkbox", name: "source", value: id, onchange: () => this.changed() });
        const parts = [make("bdi", { dir: "auto" }, name), make("span", { class: "hint" }, ` ${detail}`)];
        return make("label", { class: "line" }, box, " ", ...parts);
      }),
    );
    return make(
      "fieldset",
      {},
      make("legend", {}, t("train.data")),
      kind("all", true),
      sources.length > 1 ? kind("chosen", false) : null,
      this.chosen,
    );
  }

  time() {
    const { t } = this;
    const line = (value, checked, ...words) => {
      const input = make("input", { type: "radio", name: "budget", value, checked });
      return make("label", { class: "line" }, input, " ", ...words);
    };
    const words = (budget) => {
      const time = inWords(parseFloat(budget) * SECONDS[budget.at(-1)], t);
      return [make("strong", {}, time), ` ${t(`train.budget.${budget}`)}`];
    };
    return make(
      "fieldset",
      {},
      make("legend", {}, t("train.budget")),
      ...BUDGETS.map((budget, place) => line(budget, place === 0, ...words(budget))),
      line("own", false, make("strong", {}, t("train.budget.own")), " ", this.minutes, ` ${t("train.minutes")}`),
      line("none", false, make("strong", {}, t("train.budget.none")), ` ${t("train.budget.none.detail")}`),
      make("p", { class: "hint" }, t("train.expect")),
    );
  }

  /** Return the sources that are chosen, as the service takes them. */
  selected() {
    if (this.root.elements.data.value !== "chosen") return ["."];
    return [...this.chosen.querySelectorAll("input:checked")].map((box) => box.value);
  }

  /** Ask for a look at the data before they are trained on: other data are chosen now. */
  changed() {
    this.ready = false;
    this.found.replaceChildren();
    this.lookButton.disabled = !this.selected().length;
    this.enable();
  }

  enable() {
    this.startButton.disabled = !this.ready;
    this.startHint.textContent = this.ready ? "" : this.t("train.start.first");
  }

  async examine() {
    this.complain(null);
    const sources = this.selected();
    this.lookButton.disabled = true;
    this.found.replaceChildren(make("p", { class: "hint" }, this.t("train.look.running")));
    try {
      const found = await this.look(sources);
      if (sources.join("\n") !== this.selected().join("\n")) return;
      this.ready = found.next !== null;
      this.found.replaceChildren(...this.report(found));
    } catch (error) {
      this.found.replaceChildren();
      this.complain(error.message);
    } finally {
      this.lookButton.disabled = !this.selected().length;
      this.enable();
    }
  }

  /** Return what the service found, problems first. */
  report({ lines, next, problems }) {
    const { t } = this;
    const line = (text) => make("li", { dir: "auto" }, text);
    const listed = (name, texts) => make("ul", { class: name }, ...texts.map(line));
    return [
      make("h3", {}, problems.length ? t("train.problems", { count: problems.length }) : t("train.problems.none")),
      problems.length ? listed("problems", problems) : null,
      make("h3", {}, t("train.lines")),
      listed("lines", lines),
      make("p", {}, next === null ? t("train.few") : t("train.enough", { name: next })),
    ].filter(Boolean);
  }

  async submit(event) {
    event.preventDefault();
    this.complain(null);
    const { value } = this.root.elements.budget;
    if (value === "own" && !(this.minutes.valueAsNumber > 0)) return this.complain(this.t("train.minutes.missing"));
    const budget = value === "own" ? `${this.minutes.valueAsNumber}m` : value === "none" ? null : value;
    this.startButton.disabled = true;
    try {
      await this.start({ budget, epochs: null, from: this.from.value || null });
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.enable();
    }
  }
}
