/** The prompt in large letters, with the level meter and the buttons of a take. */

import { make } from "../elements.js";
import { Meter } from "./meter.js";

const KEYS = { record: "Space", next: "Enter", back: "ArrowLeft", play: "P" };

export class Stage {
  /** `actions` has the functions `record`, `next`, `back` and `play`. */
  constructor(t, actions) {
    this.t = t;
    this.meter = new Meter(t);
    this.place = make("p", { class: "hint", id: "prompt-place" });
    this.text = make("p", { class: "prompt-text", dir: "auto" });
    this.state = make("p", { class: "prompt-state", role: "status" });
    this.warnings = make("ul", { class: "warnings", role: "status" });
    this.card = make(
      "section",
      { class: "prompt", tabindex: "-1", "aria-labelledby": "prompt-place" },
      this.place,
      this.text,
      this.meter.root,
      this.state,
      this.warnings,
    );
    this.buttons = Object.fromEntries(
      Object.entries(actions).map(([name, action]) => {
        const click = (event) => {
          action();
          // The keys are for the prompt; a button that was reached by keyboard keeps them.
          if (event.detail) this.card.focus({ preventScroll: true });
        };
        const attributes = { type: "button", class: `take ${name}`, "aria-keyshortcuts": KEYS[name], onclick: click };
        return [name, make("button", attributes, t(`record.${name}`))];
      }),
    );
    const { record, next, back, play } = this.buttons;
    this.root = make("div", { class: "stage" }, this.card, make("div", { class: "takes" }, back, record, play, next));
  }

  /** Show a prompt; `{number, text, recorded, duration}`. */
  prompt(prompt, place, count) {
    this.place.textContent = this.t("record.place", { place, count });
    this.text.textContent = prompt.text;
    this.buttons.back.disabled = place === 1;
    this.say(prompt.recorded ? this.recorded(prompt.duration) : this.t("record.state.new"));
    this.warn([]);
  }

  recorded(seconds) {
    if (seconds == null) return this.t("record.state.saved");
    return this.t("record.state.recorded", { seconds: seconds.toFixed(1) });
  }

  say(message) {
    this.state.textContent = message;
  }

  /** Show warnings of a take, each in words with the cure. */
  warn(warnings) {
    this.warnings.replaceChildren(...warnings.map((one) => make("li", {}, one)));
  }

  /** Show what goes on: "idle", "opening", "recording" or "ending"; and whether the prompt has a recording. */
  phase(phase, recorded) {
    const { record, play } = this.buttons;
    const recording = phase === "recording" || phase === "ending";
    this.card.classList.toggle("recording", recording);
    record.classList.toggle("recording", recording);
    record.textContent = this.t(recording ? "record.stop" : recorded ? "record.again" : "record.record");
    record.disabled = phase === "opening" || phase === "ending";
    play.disabled = recording || !recorded;
  }
}
