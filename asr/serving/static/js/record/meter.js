/** The level meter: how loud the microphone hears, as a bar and in words. */

import { make } from "../elements.js";

const FLOOR = -60; // decibels of full scale at the left end of the bar
const QUIET = -35; // decibels of the peak below which speech is too quiet
const CLIPPED = 0.985; // share of full scale from which a sample counts as clipped
const HELD = 1500; // ms that the words hold after a loud part: speech has pauses

export class Meter {
  /** `t` gives the words. */
  constructor(t) {
    this.t = t;
    this.bar = make("span", { class: "meter-bar" });
    this.scale = make("div", { class: "meter-scale" }, this.bar);
    this.words = make("span", { class: "meter-words" });
    this.root = make(
      "div",
      { class: "meter", role: "meter", "aria-label": t("record.level"), "aria-valuemin": FLOOR, "aria-valuemax": 0 },
      this.scale,
      this.words,
    );
    this.off();
  }

  /** Show the level of a part of sound, whose largest sample is `peak`. */
  show(peak) {
    const decibels = Math.max(FLOOR, 20 * Math.log10(peak + 1e-9));
    const now = performance.now();
    if (peak >= CLIPPED) this.keep("clipped", now);
    else if (decibels >= QUIET && !(this.word === "clipped" && now < this.until)) this.keep("good", now);
    else if (now >= this.until) this.keep("quiet", now);
    this.bar.style.width = `${100 * (1 - decibels / FLOOR)}%`;
    this.root.setAttribute("aria-valuenow", Math.round(decibels));
  }

  /** Show that the microphone is closed. */
  off() {
    this.keep("off", -HELD);
    this.bar.style.width = "0";
    this.root.setAttribute("aria-valuenow", FLOOR);
  }

  keep(word, now) {
    this.until = now + HELD;
    if (word === this.word) return;
    this.word = word;
    this.root.dataset.level = word;
    this.words.textContent = this.t(`record.level.${word}`);
    this.root.setAttribute("aria-valuetext", this.words.textContent);
  }
}
