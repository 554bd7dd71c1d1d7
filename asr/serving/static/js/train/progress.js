/** The state of a training: how far it is, its curves, what it recognises, and its last lines. */

import { make } from "../elements.js";
import { curves, sign } from "./curves.js";
import { differences } from "./differences.js";
import { inWords } from "./durations.js";

const CHARTS = [
  { name: "loss", unit: "", series: [["first", "train_loss"], ["second", "validation_loss"]] },
  { name: "errors", unit: " %", series: [["first", "cer"], ["second", "wer"]] },
]; // prettier-ignore
const NARROW = 24 * 16; // pixels below which a chart takes the whole width
const MARKS = { same: "span", missing: "del", added: "ins" };

export class Progress {
  /** `actions` has the functions `stop`, `proceed` (continue), `again` (another training) and `use(model)`. */
  constructor(t, actions) {
    this.t = t;
    this.actions = actions;
    this.state = null;
    this.drawn = ""; // of what the pictures were drawn
    this.heading = make("h2", {});
    this.line = make("p", { class: "train-line" });
    this.bar = make("progress", { max: 1, "aria-label": t("train.progress") });
    this.buttons = make("div", { class: "bar" });
    this.error = make("p", { class: "problem", hidden: true });
    this.note = make("p", { class: "hint" }, t("train.closing"));
    this.pictures = make("div", { class: "charts" });
    this.heard = make("div", { class: "heard" });
    this.log = make("pre", { class: "log", tabindex: "0", "aria-label": t("train.log") });
    this.numbers = make("table", {});
    const details = (name, content) => make("details", {}, make("summary", {}, t(name)), content);
    this.root = make(
      "section",
      { class: "training", hidden: true },
      this.heading,
      this.line,
      this.bar,
      this.error,
      this.buttons,
      this.note,
      this.pictures,
      this.heard,
      details("train.numbers", make("div", { class: "scroll" }, this.numbers)),
      details("train.log", this.log),
    );
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.pictures);
  }

  /** Show a state as the service gives it. */
  show(state) {
    const changed = ["state", "model", "error"].some((field) => this.state?.[field] !== state[field]);
    this.state = state;
    this.root.hidden = state.state === "none";
    if (this.root.hidden) return;
    const running = state.state === "running";
    this.line.textContent = this.summary(state);
    this.bar.hidden = !running;
    if (state.epochs) this.bar.value = state.epoch / state.epochs;
    else this.bar.removeAttribute("value");
    this.note.hidden = !running;
    this.error.hidden = !state.error;
    this.error.textContent = state.error ?? "";
    this.log.textContent = state.lines.join("\n");
    if (changed) {
      this.heading.textContent = this.t(`train.state.${state.state}`);
      this.buttons.replaceChildren(...this.buttonsOf(state));
    }
    this.draw();
  }

  summary({ state, epoch, epochs, seconds, eta, log }) {
    const { t } = this;
    const best = Math.min(...log.map((row) => row.cer).filter(Number.isFinite));
    const left = state === "running" && eta !== null ? t("train.left", { time: inWords(eta, t) }) : null;
    const parts = [
      epoch ? t("train.epoch", { epoch, epochs: epochs ?? "?" }) : state === "running" ? t("train.begins") : null,
      Number.isFinite(best) ? t("train.best", { cer: best.toFixed(1) }) : null,
      seconds ? t(state === "running" ? "train.sofar" : "train.took", { time: inWords(seconds, t) }) : null,
      left,
    ];
    return parts.filter(Boolean).join(" · ");
  }

  buttonsOf({ state, model, error }) {
    const { t, actions } = this;
    const button = (name, action, kind = null) => {
      return make("button", { type: "button", class: kind, onclick: action }, t(`train.${name}`));
    };
    if (state === "running") return [button("stop", actions.stop)];
    const use = { class: "button main", href: "#/recordings", onclick: () => actions.use(model) };
    return [
      model && !error ? make("a", use, t("train.use", { model })) : null,
      state === "finished" ? null : button("continue", actions.proceed, model ? null : "main"),
      button("again", actions.again),
    ].filter(Boolean);
  }

  /** Draw the pictures, the table and the texts, if the log or the width is another one. */
  draw() {
    const log = this.state?.log ?? [];
    const room = this.pictures.clientWidth;
    const key = `${room} ${log.length} ${JSON.stringify(log.at(-1) ?? null)} ${JSON.stringify(this.state?.heard)}`;
    if (!room || key === this.drawn) return;
    this.drawn = key;
    const width = Math.max(240, room >= 2 * NARROW ? Math.floor((room - 32) / 2) : room);
    this.pictures.replaceChildren(...(log.length ? CHARTS.map((chart) => this.chart(chart, log, width)) : []));
    this.heard.replaceChildren(...this.texts(this.state.heard));
    this.table(log);
  }

  chart({ name, unit, series }, log, width) {
    const { t } = this;
    const drawn = series.map(([kind, field]) => ({ kind, field, values: log.map((row) => row[field]) }));
    const shown = drawn.filter(({ values }) => values.some(Number.isFinite));
    const last = ({ field, values }) => `${t(`train.curve.${field}`)} ${Number(values.at(-1)?.toPrecision(3))}${unit}`;
    const label = `${t(`train.chart.${name}`)}: ${shown.map(last).join(", ")}`;
    const epochs = log.map((row) => row.epoch);
    return make(
      "figure",
      {},
      make("figcaption", {}, t(`train.chart.${name}`)),
      make(
        "p",
        { class: "legend", "aria-hidden": "true" },
        ...shown.map((one) => make("span", {}, sign(one.kind), ` ${last(one)}`)),
      ),
      curves({ epochs, series: shown, width, label, unit, axis: t("train.epochs") }),
    );
  }

  texts(heard) {
    const { t } = this;
    if (!heard.length) return [];
    return [
      make("h3", {}, t("train.heard")),
      make("p", { class: "hint" }, t("train.heard.marks")),
      ...heard.map(({ reference, hypothesis }) => {
        const parts = differences(reference, hypothesis);
        const [said, recognised] = [this.text("said", parts, "missing"), this.text("heard", parts, "added")];
        return make("dl", { class: "pair" }, ...said, ...recognised);
      }),
    ];
  }

  /** Return one of two texts with its name: the parts that are equal in both, and those of its own kind, marked. */
  text(name, parts, own) {
    const shown = parts.filter(({ kind }) => kind === "same" || kind === own);
    const marked = shown.flatMap(({ kind, text }) => [make(MARKS[kind], {}, this.spoken(kind), text), " "]);
    const content = marked.length ? marked : this.t("train.heard.nothing");
    return [make("dt", {}, this.t(`train.heard.${name}`)), make("dd", { dir: "auto" }, content)];
  }

  /** Return words that screen readers read before a mark, which they do not read themselves. */
  spoken(kind) {
    return kind === "same" ? null : make("span", { class: "unseen" }, `${this.t(`train.${kind}`)} `);
  }

  table(log) {
    const columns = ["epoch", ...CHARTS.flatMap(({ series }) => series.map(([, field]) => field))];
    const cell = (value) => make("td", {}, Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "–");
    const heading = columns.map((name) => make("th", { scope: "col" }, this.t(`train.curve.${name}`)));
    const rows = log.map((row) => make("tr", {}, ...columns.map((name) => cell(row[name])))).reverse();
    this.numbers.replaceChildren(make("thead", {}, make("tr", {}, ...heading)), make("tbody", {}, ...rows));
  }

  close() {
    this.watcher.disconnect();
  }
}
