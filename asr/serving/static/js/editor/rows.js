/**
 * The text of a recording: one row for each segment, with a field for its text.
 *
 * Behind each field lies a copy of its text that shows which words are doubtful and which one is played. It also gives
 * the field its height.
 */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock } from "../times.js";
import { doubtful, timed } from "./document.js";

export class Rows {
  /**
   * `actions` are functions: `written(id, text)`, `checked(id)`, `played(id)`, `menu(id, button)`, `at(id, place)` when
   * the cursor moves, `clicked(id, place)`, `doubleClicked(id, place)`.
   */
  constructor(root, actions) {
    this.actions = actions;
    this.list = make("ol", { class: "segments" });
    this.rows = new Map(); // id -> {row, field, copy, segment, threshold, …}
    this.threshold = 0;
    this.lit = null; // the element of the word that is played
    root.append(this.list);
  }

  /** Show a document: rows whose segment has not changed are left as they are. */
  show(doc, current, threshold) {
    const old = new Map(this.rows);
    const many = new Set(doc.segments.map(({ speaker }) => speaker ?? "")).size > 1;
    this.rows = new Map();
    let before = null;
    doc.segments.forEach((segment, index) => {
      const row = old.get(segment.id) ?? this.#made(segment.id);
      old.delete(segment.id);
      this.rows.set(segment.id, row);
      const changed = row.segment !== segment || row.threshold !== threshold || row.number !== index + 1 || row.many !== many;
      if (changed) this.#fill(row, segment, { threshold, number: index + 1, many });
      row.item.classList.toggle("current", segment.id === current);
      const place = before ? before.nextElementSibling : this.list.firstElementChild;
      if (place !== row.item) this.list.insertBefore(row.item, place);
      before = row.item;
    });
    for (const row of old.values()) row.item.remove();
  }

  /** Put the cursor into the text of a segment; `from` to `to` are chosen. */
  focus(id, from = null, to = from) {
    const row = this.rows.get(id);
    if (!row) return;
    row.field.focus({ preventScroll: true });
    if (from !== null) row.field.setSelectionRange(from, to);
    row.item.scrollIntoView({ block: "nearest" });
  }

  /** Show the segment that is played, and its word. */
  light(id, time, follow) {
    const row = this.rows.get(id);
    const index = row ? row.times.findLastIndex(({ start, end }) => start <= time && time < end + 0.05) : -1;
    const word = index < 0 ? null : row.words[index];
    if (word === this.lit) return;
    this.lit?.classList.remove("played");
    word?.classList.add("played");
    this.lit = word;
    if (follow && row && !this.list.contains(document.activeElement)) row.item.scrollIntoView({ block: "nearest" });
  }

  #made(id) {
    const copy = make("div", { class: "copy", dir: "auto", "aria-hidden": "true" });
    const field = make("textarea", {
      rows: 1,
      dir: "auto",
      spellcheck: "false",
      autocapitalize: "none",
      autocorrect: "off",
      autocomplete: "off",
      oninput: () => {
        this.actions.at(id, field.selectionStart);
        this.actions.written(id, field.value);
      },
      onselect: () => this.actions.at(id, field.selectionStart),
      onkeyup: () => this.actions.at(id, field.selectionStart),
      onfocus: () => this.actions.at(id, field.selectionStart),
      onclick: () => {
        this.actions.at(id, field.selectionStart);
        if (field.selectionStart === field.selectionEnd) this.actions.clicked(id, field.selectionStart);
      },
      ondblclick: () => this.actions.doubleClicked(id, field.selectionStart),
    });
    const play = make("button", { type: "button", class: "plain time", onclick: () => this.actions.played(id) });
    const speaker = make("span", { class: "speaker", dir: "auto" });
    const check = make("button", { type: "button", class: "check", onclick: () => this.actions.checked(id) });
    const more = make("button", {
      type: "button",
      class: "plain more",
      "aria-haspopup": "menu",
      onclick: () => this.actions.menu(id, more),
    });
    more.textContent = "⋯";
    const buttons = make("div", { class: "buttons" }, check, more);
    const side = make("div", { class: "side" }, play, speaker);
    const item = make("li", {}, side, make("div", { class: "text" }, copy, field), buttons);
    item.dataset.id = id;
    return { item, copy, field, play, speaker, check, more, words: [], times: [] };
  }

  #fill(row, segment, { threshold, number, many }) {
    Object.assign(row, { segment, threshold, number, many });
    const { item, copy, field, play, speaker, check, more } = row;
    // Assigning a value, even an equal one, moves the cursor to the end. A new text is entered at its beginning.
    if (field.value !== segment.text) {
      field.value = segment.text;
      field.setSelectionRange(0, 0);
    }
    row.times = timed(segment);
    const doubted = doubtful(segment, threshold, row.times);
    const doubts = new Set(doubted.map(({ from }) => from));
    const words = row.times.map(({ from, to }) => {
      return make("span", { class: doubts.has(from) ? "doubt" : null }, segment.text.slice(from, to));
    });
    const parts = words.flatMap((word, index) => {
      return [segment.text.slice(row.times[index - 1]?.to ?? 0, row.times[index].from), word];
    });
    row.words = words;
    // A last line without text has no height of its own.
    copy.replaceChildren(...parts, segment.text.slice(row.times.at(-1)?.to ?? 0), "\u200b");
    const named = { number, time: clock(segment.start) };
    play.textContent = `▶ ${clock(segment.start)}`;
    play.setAttribute("aria-label", t("edit.playSegment", named));
    play.title = `${clock(segment.start, 2)} – ${clock(segment.end, 2)}`;
    speaker.textContent = segment.speaker ?? "";
    speaker.hidden = !segment.speaker || !many;
    item.classList.toggle("checked", segment.checked);
    check.textContent = segment.checked ? t("edit.checked") : t("edit.check");
    check.setAttribute("aria-pressed", segment.checked);
    check.setAttribute("aria-label", t(segment.checked ? "edit.checkedNumber" : "edit.checkNumber", named));
    more.setAttribute("aria-label", t("edit.more", named));
    const spoken = doubted.length ? t("edit.doubts", { words: doubted.map(({ text }) => text).join(", ") }) : "";
    const state = segment.checked ? t("edit.checked") : spoken;
    field.setAttribute("aria-label", [t("edit.text", named), segment.speaker, state].filter(Boolean).join(". "));
  }
}
