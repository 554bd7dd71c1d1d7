/** The recording over time: an overview of all of it, the picture of a part, the segments and their borders. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock } from "../times.js";
import { move } from "./document.js";
import { Picture, prepared, wave } from "./picture.js";

const [SHORTEST_SPAN, LONGEST_SPAN] = [1, 60]; // seconds of the picture
const OVERVIEW = 36; // pixels
const CLICK = 4; // pixels that a pointer may move in a click
const [STEP, LARGE_STEP] = [0.02, 0.2]; // seconds that a key moves a border
const MARGIN = 0.1; // of the picture, before what is shown

export class Timeline {
  /**
   * `actions` are functions: `seek(time)`, `moved(doc)` after a border was moved, `made(start, end)` for a new segment,
   * `chosen(id)` for a segment that was clicked.
   */
  constructor(root, { duration, sound, actions }) {
    Object.assign(this, { duration, sound, actions });
    this.span = Math.min(duration, root.clientWidth < 600 ? 8 : 20) || 1;
    this.from = 0;
    this.time = 0;
    this.doc = { duration, segments: [] };
    this.current = null; // the id of the segment in work
    this.peaks = null;
    this.spectrogram = true;
    this.asked = 0; // the frame of the screen that will draw
    this.drawn = null; // what the picture shows

    this.all = make("canvas");
    this.overview = make("div", { class: "overview", onpointerdown: (event) => this.#goThere(event) }, this.all);
    this.canvas = make("canvas", { role: "img" });
    this.picture = new Picture(this.canvas);
    this.head = make("div", { class: "playhead" });
    this.blocks = make("div", { class: "blocks" });
    this.part = make(
      "div",
      {
        class: "part",
        role: "slider",
        tabindex: 0,
        "aria-label": t("edit.position"),
        "aria-valuemin": 0,
        "aria-valuemax": duration.toFixed(1),
        onkeydown: (event) => this.#key(event),
        onpointerdown: (event) => this.#press(event),
        onwheel: (event) => this.#wheel(event),
      },
      this.canvas,
      this.blocks,
      this.head,
    );
    root.append(this.overview, this.part);
    this.watch = new ResizeObserver(() => this.redraw());
    this.watch.observe(this.part);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => {
      this.drawn = null;
      this.redraw();
    };
    this.dark.addEventListener("change", this.recolour);
  }

  close() {
    this.watch.disconnect();
    this.dark.removeEventListener("change", this.recolour);
    cancelAnimationFrame(this.asked);
  }

  /** Show another document, or another segment as the one in work. */
  show(doc, current) {
    this.doc = doc;
    this.current = current;
    this.redraw();
  }

  /** Move the line of the play position; the picture turns over when the line leaves it. */
  at(time, turn) {
    this.time = time;
    if (turn && (time < this.from || time > this.from + this.span)) this.#go(time - MARGIN * this.span);
    this.#place();
  }

  /** Show the part of the recording from `start` to `end`, if it is not in the picture. */
  reveal(start, end) {
    const fits = end - start < this.span;
    if (start < this.from || (fits ? end : start) > this.from + this.span) this.#go(start - MARGIN * this.span);
  }

  /** Make the picture `factor` times as long; the play position keeps its place, if it is seen. */
  zoom(factor, around = this.time) {
    const span = Math.min(Math.max(this.span * factor, SHORTEST_SPAN), LONGEST_SPAN, this.duration);
    const seen = around >= this.from && around <= this.from + this.span;
    const share = seen ? (around - this.from) / this.span : MARGIN;
    this.span = span;
    this.#go(around - share * span);
  }

  showSpectrogram(shown) {
    this.spectrogram = shown;
    this.redraw();
  }

  redraw() {
    this.asked ||= requestAnimationFrame(() => {
      this.asked = 0;
      this.#draw();
    });
  }

  #go(from) {
    this.from = Math.max(0, Math.min(from, this.duration - this.span));
    this.redraw();
  }

  #draw() {
    if (!this.part.clientWidth) return; // the editor was left while its sound loaded
    const narrow = this.part.clientWidth < 600;
    const heights = [narrow ? 44 : 72, this.spectrogram ? (narrow ? 64 : 112) : 0];
    const until = Math.min(this.from + this.span, this.duration);
    const samples = this.sound.part(this.from, until, () => this.redraw());
    // Typing changes the segments alone: the picture below them is drawn again only if it changes.
    const shown = [this.from, this.span, samples !== null, ...heights, this.part.clientWidth, devicePixelRatio].join();
    if (shown !== this.drawn) this.picture.draw({ samples, from: this.from, span: this.span, heights });
    this.drawn = shown;
    this.canvas.setAttribute("aria-label", t("edit.picture", { from: clock(this.from), until: clock(until) }));
    this.#drawOverview();
    this.#drawBlocks();
    this.#place();
  }

  #drawOverview() {
    const width = this.overview.clientWidth;
    const context = prepared(this.all, width, OVERVIEW);
    const style = getComputedStyle(this.all);
    const x = (time) => (time / this.duration) * width;
    context.fillStyle = style.getPropertyValue("--soft");
    context.fillRect(x(this.from), 0, Math.max(x(this.span), 2), OVERVIEW);
    if (this.peaks) wave(context, this.peaks, width, OVERVIEW - 6, style.color);
    for (const { start, end, checked } of this.doc.segments) {
      context.fillStyle = style.getPropertyValue(checked ? "--good" : "--line");
      context.fillRect(x(start), OVERVIEW - 5, Math.max(x(end - start) - 0.5, 0.5), 5);
    }
  }

  /** Put the blocks of the segments in the picture over it. A block that stays keeps its element, and the focus. */
  #drawBlocks() {
    const seen = this.doc.segments.filter(({ start, end }) => end > this.from && start < this.from + this.span);
    const old = new Map([...this.blocks.children].map((block) => [block.dataset.id, block]));
    for (const segment of seen) {
      const block = old.get(segment.id) ?? this.#block(segment.id);
      old.delete(segment.id);
      const here = segment.id === this.current;
      block.classList.toggle("checked", segment.checked);
      block.classList.toggle("current", here);
      block.style.left = `${this.#percent(segment.start)}%`;
      block.style.width = `${(100 * (segment.end - segment.start)) / this.span}%`;
      block.querySelector(".label").textContent = segment.text;
      for (const handle of block.querySelectorAll(".handle")) {
        const time = segment[handle.dataset.border];
        handle.tabIndex = here ? 0 : -1;
        handle.setAttribute("aria-valuenow", time.toFixed(2));
        handle.setAttribute("aria-valuetext", clock(time, 2));
      }
      if (!block.parentElement) this.blocks.append(block);
    }
    for (const block of old.values()) block.remove();
  }

  #block(id) {
    const handle = (border) =>
      make("div", {
        class: `handle ${border}`,
        role: "slider",
        "aria-label": t(`edit.${border}`),
        "aria-valuemin": 0,
        "aria-valuemax": this.duration.toFixed(2),
        "data-border": border,
        onkeydown: (event) => this.#borderKey(event, id, border),
        onpointerdown: (event) => this.#drag(event, id, border),
      });
    const label = make("span", { class: "label", dir: "auto" });
    const block = make("div", { class: "block" }, label, handle("start"), handle("end"));
    block.dataset.id = id;
    return block;
  }

  #place() {
    this.head.style.left = `${this.#percent(this.time)}%`;
    this.head.hidden = this.time < this.from || this.time > this.from + this.span;
    this.part.setAttribute("aria-valuenow", this.time.toFixed(1));
    this.part.setAttribute("aria-valuetext", t("edit.of", { time: clock(this.time), duration: clock(this.duration) }));
  }

  #percent(time) {
    return (100 * (time - this.from)) / this.span;
  }

  /** Return the time under a pointer. */
  #under(event) {
    const box = this.part.getBoundingClientRect();
    const time = this.from + ((event.clientX - box.left) / box.width) * this.span;
    return Math.min(Math.max(time, 0), this.duration);
  }

  #goThere(event) {
    const box = this.overview.getBoundingClientRect();
    const time = ((event.clientX - box.left) / box.width) * this.duration;
    this.#go(time - this.span / 2);
    this.actions.seek(time);
  }

  /** A click goes to its time; a pointer drawn over time without a segment makes a segment. */
  #press(event) {
    if (event.button !== 0 || event.target.classList.contains("handle")) return;
    const begin = event.clientX;
    const [start, id] = [this.#under(event), event.target.closest(".block")?.dataset.id];
    const choice = make("div", { class: "choice" });
    this.part.setPointerCapture(event.pointerId);
    const moved = (now) => {
      if (Math.abs(now.clientX - begin) <= CLICK) return;
      const [low, high] = [start, this.#under(now)].sort((one, other) => one - other);
      choice.style.left = `${this.#percent(low)}%`;
      choice.style.width = `${(100 * (high - low)) / this.span}%`;
      if (!choice.parentElement) this.part.append(choice);
    };
    this.#until(moved, (now) => {
      choice.remove();
      if (now.type === "pointercancel") return;
      if (Math.abs(now.clientX - begin) > CLICK) {
        this.actions.made(...[start, this.#under(now)].sort((one, other) => one - other));
      } else {
        this.actions.seek(start);
        if (id) this.actions.chosen(id);
      }
    });
  }

  #drag(event, id, border) {
    event.stopPropagation();
    event.preventDefault();
    this.part.setPointerCapture(event.pointerId);
    const before = this.doc;
    const offset = before.segments.find((segment) => segment.id === id)[border] - this.#under(event);
    this.#until(
      (now) => this.show(move(before, id, border, this.#under(now) + offset), this.current),
      (now) => {
        const after = this.doc;
        this.show(before, this.current);
        if (now.type !== "pointercancel") this.actions.moved(after, id);
      },
    );
  }

  /** Call `moved` for each move of the captured pointer, and `ended` once it is let go. */
  #until(moved, ended) {
    const end = (event) => {
      this.part.removeEventListener("pointermove", moved);
      for (const kind of ["pointerup", "pointercancel"]) this.part.removeEventListener(kind, end);
      ended(event);
    };
    this.part.addEventListener("pointermove", moved);
    for (const kind of ["pointerup", "pointercancel"]) this.part.addEventListener(kind, end);
  }

  #borderKey(event, id, border) {
    const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!sign || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const segment = this.doc.segments.find((one) => one.id === id);
    this.actions.moved(move(this.doc, id, border, segment[border] + sign * (event.shiftKey ? LARGE_STEP : STEP)), id);
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.target !== this.part) return;
    event.preventDefault();
    this.actions.seek(Math.min(Math.max(this.time + steps[event.key], 0), this.duration));
  }

  #wheel(event) {
    if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#under(event));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      this.#go(this.from + ((event.deltaX || event.deltaY) / this.part.clientWidth) * this.span);
    } else return;
    event.preventDefault();
  }
}
