/** The editor: joins the document and its history with the player, the timeline, the rows and the keys. */

import { make } from "../elements.js";
import { t } from "../strings.js";
import { clock } from "../times.js";
import { conflict, help } from "./dialogs.js";
import * as documents from "./document.js";
import { Effort } from "./effort.js";
import { History } from "./history.js";
import { actionOf } from "./keys.js";
import { openMenu } from "./menu.js";
import { Player } from "./player.js";
import { Rows } from "./rows.js";
import { Saving, kept } from "./saving.js";
import { Sound } from "./sound.js";
import { Timeline } from "./timeline.js";
import { Toolbar } from "./toolbar.js";

const BORDER_STEP = 0.05; // seconds that a key moves a border
const OVERVIEW_COLUMNS = 1000;
const DEFAULT_THRESHOLD = 0.8;
const THRESHOLD = "asr.threshold"; // in the storage of the browser

export class Editor {
  /** `opened` is the document as the service sends it; `tell(lines)` shows what the service has to say about it. */
  constructor(root, { api, session, id, opened, tell }) {
    Object.assign(this, { root, api, session, id, tell });
    this.address = `api/documents/${api.encoded(id)}`;
    this.formats = session.formats;
    this.effort = new Effort();
    this.history = new History({ duration: opened.duration, segments: opened.segments });
    this.current = opened.segments[0]?.id ?? null; // the segment in work
    this.place = 0; // of the cursor in its text
    this.threshold = Number(localStorage.getItem(THRESHOLD) ?? DEFAULT_THRESHOLD);
    this.spectrogram = true;
    this.failed = false; // whether the last save failed

    const head = make("div", { class: "head" });
    const picture = make("div", { class: "timeline" });
    this.body = make("div", { class: "body" });
    root.append(head, this.body);
    this.toolbar = new Toolbar(head, this, { threshold: this.threshold, name: id });
    head.append(picture);
    const recording = `api/recordings/${api.encoded(id)}`;
    this.player = new Player(
      `${recording}/audio`,
      (time, playing) => this.#sounds(time, playing),
      () => session.complain(t("edit.noSound")),
    );
    this.timeline = new Timeline(picture, {
      duration: opened.duration,
      sound: new Sound(async (start, end) => {
        return (await api.raw(`${recording}/samples?start=${start}&end=${end}`)).arrayBuffer();
      }, opened.duration),
      actions: {
        seek: (time) => this.#seek(time),
        moved: (doc, id) => this.#apply(doc, id, `move ${id}`),
        made: (start, end) => this.#insert(start, end),
        chosen: (id) => this.#choose(id),
      },
    });
    this.rows = new Rows(this.body, {
      written: (id, text) => this.#apply(documents.write(this.doc, id, text), id, `write ${id}`),
      checked: (id) => this.#mark(id, !documents.find(this.doc, id).checked),
      played: (id) => this.#playSegment(id),
      menu: (id, anchor) => this.#segmentMenu(id, anchor),
      at: (id, place) => this.#at(id, place),
      clicked: (id, place) => this.#seekWord(id, place),
      doubleClicked: (id, place) => this.#playWord(id, place),
    });
    this.saving = new Saving({
      id,
      version: opened.version,
      // Text that no model and no file brought is typed from nothing.
      typed: opened.typed || (!opened.model && !opened.segments.length),
      effort: this.effort,
      put: async (body) => {
        const saved = await api.put(this.address, body);
        if (saved.notes.length) tell(saved.notes);
        return saved;
      },
      present: () => this.doc.segments,
      tell: (state, error) => this.#saveState(state, error),
      conflict: (theirs) => this.#conflict(theirs),
    });
    this.recording = recording;
    this.onKey = (event) => this.#key(event);
    this.onWork = () => this.effort.note();
    this.onHide = () => this.saving.keep();
    this.onUnload = (event) => {
      if (this.saving.state !== "saved") event.preventDefault();
    };
  }

  get doc() {
    return this.history.doc;
  }

  async start() {
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("keydown", this.onWork, true);
    document.addEventListener("pointerdown", this.onWork, true);
    window.addEventListener("beforeunload", this.onUnload);
    window.addEventListener("pagehide", this.onHide);
    this.effort.note();
    this.#restore();
    this.#show();
    this.#sounds(0, false);
    this.saving.changed();
    try {
      this.timeline.peaks = await this.api.get(`${this.recording}/peaks?count=${OVERVIEW_COLUMNS}`);
      this.timeline.redraw();
    } catch (error) {
      this.session.complain(error.message);
    }
  }

  /** Save and close the editor; false if the reader stays because something is not saved. */
  async leave() {
    if (!(await this.saving.now()) && !window.confirm(t("edit.leave"))) {
      history.replaceState(null, "", `#/edit/${this.api.encoded(this.id)}`);
      return false;
    }
    this.saving.close();
    this.player.close();
    this.timeline.close();
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("keydown", this.onWork, true);
    document.removeEventListener("pointerdown", this.onWork, true);
    window.removeEventListener("beforeunload", this.onUnload);
    window.removeEventListener("pagehide", this.onHide);
    return true;
  }

  /** Do an action of the key table or of a button. */
  act(action) {
    return this.#actions[action]();
  }

  setSpeed(speed) {
    this.player.speed = speed;
    this.toolbar.speed.value = speed;
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    localStorage.setItem(THRESHOLD, threshold);
    this.#show();
  }

  #actions = {
    nextDoubt: () => this.#doubt(1),
    previousDoubt: () => this.#doubt(-1),
    checkNext: () => this.#checkNext(),
    uncheck: () => this.#mark(this.current, false),
    toggle: () => this.#toggle(),
    playWord: () => this.#playWord(this.current, this.#cursor),
    loop: () => this.#loop(),
    slower: () => this.#changeSpeed(-1),
    faster: () => this.#changeSpeed(1),
    alternatives: () => this.#alternatives(),
    split: () => this.#split(),
    join: () => this.#join(),
    startEarlier: () => this.#shift("start", -BORDER_STEP),
    startLater: () => this.#shift("start", BORDER_STEP),
    endEarlier: () => this.#shift("end", -BORDER_STEP),
    endLater: () => this.#shift("end", BORDER_STEP),
    previousSegment: () => this.#neighbour(-1),
    nextSegment: () => this.#neighbour(1),
    undo: () => this.#step(this.history.undo()),
    redo: () => this.#step(this.history.redo()),
    save: () => this.saving.now({ again: true }),
    leaveText: () => this.toolbar.play.focus(),
    help: () => help(),
    zoomIn: () => this.timeline.zoom(0.5),
    zoomOut: () => this.timeline.zoom(2),
    spectrogram: () => this.#spectrogram(),
    transcribe: () => this.#transcribeMenu(),
    download: () => this.#downloadMenu(),
  };

  #key(event) {
    if (document.querySelector("dialog[open], .menu")) return;
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    this.act(action);
  }

  // The document.

  /** Make a document the present one, show it, and save it soon; return whether it is another one. */
  #apply(doc, id, kind = null) {
    if (!this.history.apply(doc, id, kind)) return false;
    this.#show();
    this.saving.changed();
    return true;
  }

  #show() {
    const { segments } = this.doc;
    if (!documents.find(this.doc, this.current)) this.current = segments[0]?.id ?? null;
    this.rows.show(this.doc, this.current, this.threshold);
    this.timeline.show(this.doc, this.current);
    this.toolbar.show({
      checked: segments.filter(({ checked }) => checked).length,
      segments: segments.length,
      past: this.history.past.length,
      future: this.history.future.length,
    });
    this.empty ??= this.body.appendChild(make("p", { class: "hint" }, t("edit.empty")));
    this.empty.hidden = segments.length > 0;
  }

  #step(id) {
    if (id === undefined) return;
    this.#show();
    this.saving.changed();
    if (documents.find(this.doc, id)) this.#goTo(id, this.place);
  }

  /** Return the place of the cursor in the text of the segment in work. */
  get #cursor() {
    const field = this.rows.rows.get(this.current)?.field;
    return field && field === document.activeElement ? field.selectionStart : this.place;
  }

  /** Put the cursor into a segment, which becomes the one in work. */
  #goTo(id, from, to = from) {
    const { length } = documents.find(this.doc, id).text;
    this.#at(id, Math.min(from, length));
    this.rows.focus(id, Math.min(from, length), Math.min(to, length));
  }

  #at(id, place) {
    const segment = documents.find(this.doc, id);
    if (!segment) return; // a late event of a text field that was removed
    this.place = place;
    if (id === this.current) return;
    this.current = id;
    this.#show();
    this.timeline.reveal(segment.start, segment.end);
  }

  #mark(id, checked) {
    return this.#apply(documents.mark(this.doc, id, checked), id);
  }

  #checkNext() {
    this.#mark(this.current, true);
    if (!this.#neighbour(1)) this.session.say(t("edit.last"));
  }

  #neighbour(direction) {
    const { segments } = this.doc;
    const next = segments[segments.findIndex(({ id }) => id === this.current) + direction];
    if (!next) return false;
    this.#goTo(next.id, 0);
    this.#follow(next.start);
    return true;
  }

  #doubt(direction) {
    const { selectionStart, selectionEnd } = document.activeElement;
    const place = direction > 0 ? (selectionEnd ?? this.place) : (selectionStart ?? this.place);
    const found = documents.nextDoubtful(this.doc, this.current, place, direction, this.threshold);
    if (!found) {
      this.session.say(t(direction > 0 ? "edit.noMoreDoubt" : "edit.noEarlierDoubt"));
      return;
    }
    this.#goTo(found.id, found.from, found.to);
    this.#follow(found.start);
  }

  #split() {
    const segment = documents.find(this.doc, this.current);
    if (!segment) return;
    const doc = documents.split(this.doc, this.current, this.#cursor, this.player.time);
    if (!this.#apply(doc, this.current)) return this.session.say(t("edit.noSplit"));
    const place = doc.segments.findIndex(({ id }) => id === this.current);
    this.#goTo(doc.segments[place + 1].id, 0);
  }

  #join() {
    const place = documents.find(this.doc, this.current)?.text.trim().length;
    if (!this.#apply(documents.join(this.doc, this.current), this.current)) return this.session.say(t("edit.noJoin"));
    this.#goTo(this.current, place);
  }

  #shift(border, seconds) {
    const segment = documents.find(this.doc, this.current);
    if (!segment) return;
    const doc = documents.move(this.doc, this.current, border, segment[border] + seconds);
    if (!this.#apply(doc, this.current, `move ${this.current} ${border}`)) return this.session.say(t("edit.noMove"));
    const moved = documents.find(this.doc, this.current);
    this.session.say(t("edit.moved", { start: clock(moved.start, 2), end: clock(moved.end, 2) }));
  }

  #insert(start, end) {
    const doc = documents.insert(this.doc, start, end);
    if (doc === this.doc) return this.session.say(t("edit.noRoom"));
    const added = doc.segments.find(({ id }) => !documents.find(this.doc, id));
    this.#apply(doc, added.id);
    this.#goTo(added.id, 0);
    this.#playSegment(added.id);
  }

  #remove(id) {
    this.#apply(documents.remove(this.doc, id), id);
    this.session.say(t("edit.removed"));
  }

  #nameSpeaker(id) {
    const given = window.prompt(t("edit.askSpeaker"), documents.find(this.doc, id).speaker ?? "");
    if (given !== null) this.#apply(documents.name(this.doc, id, given.trim()), id);
  }

  // Sound.

  #sounds(time, playing) {
    this.toolbar.play.textContent = playing ? "❚❚" : "▶";
    this.toolbar.play.setAttribute("aria-label", t(playing ? "edit.pause" : "key.toggle"));
    this.toolbar.clock.textContent = `${clock(time)} / ${clock(this.doc.duration, 0)}`;
    this.timeline.at(time, playing);
    const here = documents.segmentAt(this.doc, time);
    this.rows.light(here && here.start <= time ? here.id : null, time, playing);
  }

  #toggle() {
    if (this.player.playing) return this.player.pause();
    const segment = documents.find(this.doc, this.current);
    if (!this.player.loop || !segment) return this.player.play();
    const inside = this.player.time >= segment.start && this.player.time < segment.end - 0.05;
    return this.player.playPart(segment.start, segment.end, inside ? this.player.time : segment.start);
  }

  #seek(time) {
    this.player.seek(time);
    this.timeline.reveal(time, time);
  }

  /** Go with the cursor: the play position follows, and the sound goes on. */
  #follow(time) {
    if (this.player.loop && this.player.playing) return this.#playSegment(this.current);
    this.player.seek(time);
    return undefined;
  }

  #choose(id) {
    const segment = documents.find(this.doc, id);
    const token = documents.timed(segment).find(({ end }) => end > this.player.time);
    this.#goTo(id, token?.from ?? 0);
  }

  #seekWord(id, place) {
    const token = documents.tokenAt(documents.find(this.doc, id), place);
    if (token) this.#seek(token.start);
  }

  #playWord(id, place) {
    const segment = documents.find(this.doc, id);
    if (!segment) return undefined;
    const start = documents.tokenAt(segment, place)?.start ?? segment.start;
    return this.player.loop ? this.player.playPart(segment.start, segment.end, start) : this.player.play(start);
  }

  #playSegment(id) {
    const { start, end } = documents.find(this.doc, id);
    this.#at(id, 0);
    return this.player.playPart(start, end);
  }

  #loop() {
    this.player.loop = !this.player.loop;
    this.toolbar.loop.setAttribute("aria-pressed", this.player.loop);
    this.session.say(t(this.player.loop ? "edit.loops" : "edit.loopsNot"));
    const segment = documents.find(this.doc, this.current);
    this.player.part = this.player.loop && segment ? [segment.start, segment.end] : null;
  }

  #changeSpeed(direction) {
    const { options, selectedIndex } = this.toolbar.speed;
    const next = options[selectedIndex + direction];
    if (next) this.setSpeed(Number(next.value));
    this.session.say(t("edit.speedNow", { speed: this.toolbar.speed.value }));
  }

  #spectrogram() {
    this.spectrogram = !this.spectrogram;
    this.toolbar.spectrogram.setAttribute("aria-pressed", this.spectrogram);
    this.timeline.showSpectrogram(this.spectrogram);
  }

  // Menus.

  #alternatives() {
    const segment = documents.find(this.doc, this.current);
    if (!segment) return;
    const { field } = this.rows.rows.get(segment.id);
    const chosen = field.selectionEnd > field.selectionStart;
    const token = documents.tokenAt(segment, this.#cursor);
    const [from, to] = chosen ? [field.selectionStart, field.selectionEnd] : [token?.from ?? 0, token?.to ?? 0];
    const whole = documents.tokens(segment.text).filter((one) => one.to > from && one.from < to);
    const [start, end] = [whole[0]?.from ?? 0, whole.at(-1)?.to ?? 0];
    const replace = (text, cursor) => {
      this.#apply(documents.write(this.doc, segment.id, text), segment.id);
      this.#goTo(segment.id, cursor);
    };
    const words = documents.alternatives(segment, from, to).map((text) => ({
      label: text,
      dir: "auto",
      act: () => replace(segment.text.slice(0, start) + text + segment.text.slice(end), start + text.length),
    }));
    const texts = (segment.nbest ?? []).filter(({ text }) => text !== segment.text);
    if (!texts.length) return this.session.say(t("edit.noAlternatives"));
    openMenu(
      field,
      t("edit.alternatives"),
      [
        ...(words.length ? [{ heading: true, label: t("edit.instead", { word: segment.text.slice(start, end) }) }, ...words] : []),
        { heading: true, label: t("edit.wholeSegment") },
        ...texts.map(({ text }) => ({ label: text, dir: "auto", act: () => replace(text, 0) })),
      ],
      () => this.#goTo(segment.id, from, to),
    );
  }

  #segmentMenu(id, anchor) {
    this.#at(id, this.current === id ? this.place : 0);
    const item = (action) => ({ label: t(`key.${action}`), act: () => this.act(action) });
    openMenu(
      anchor,
      t("edit.segment"),
      [
        item("alternatives"),
        item("split"),
        item("join"),
        { label: t("edit.nameSpeaker"), act: () => this.#nameSpeaker(id) },
        { label: t("edit.remove"), act: () => this.#remove(id) },
      ],
      () => anchor.focus(),
    );
  }

  #downloadMenu() {
    const items = this.formats.map((format) => ({
      label: t(`format.${format}`),
      act: async () => {
        if (!(await this.saving.now())) return;
        make("a", { href: `${this.address}/export?format=${format}`, download: "" }).click();
      },
    }));
    openMenu(this.toolbar.download, t("edit.download"), items, () => this.toolbar.download.focus());
  }

  #transcribeMenu() {
    const items = this.session.models.map(({ id }) => ({
      label: t("edit.transcribeWith", { model: id }),
      act: () => this.#transcribe(id),
    }));
    if (!items.length) items.push({ label: t("recordings.noModel"), disabled: true });
    openMenu(this.toolbar.transcribe, t("edit.transcribe"), items, () => this.toolbar.transcribe.focus());
  }

  /** Transcribe what is not checked; the editor waits, so that nothing is typed into text that is replaced. */
  async #transcribe(model) {
    if (!(await this.saving.now())) return;
    this.body.inert = true;
    try {
      const { job } = await this.api.post(`${this.address}/transcribe`, { model });
      const done = await this.api.job(job, ({ progress }) => {
        this.session.say(t("recordings.progress", { percent: Math.round(100 * progress) }));
      });
      const loaded = await this.api.get(this.address);
      this.saving.typed = false;
      this.history.apply({ duration: loaded.duration, segments: loaded.segments }, this.current);
      this.saving.loaded(loaded.version);
      this.#show();
      this.session.say(done.message ?? t("recordings.transcribed"));
    } finally {
      this.body.inert = false;
    }
  }

  // Saving.

  #saveState(state, error) {
    this.toolbar.showState(state === "saved" && !this.saving.version ? "none" : state, error?.message);
    // Other problems that are shown, such as sound that cannot be played, stay.
    if (state === "failed") this.session.complain(t("edit.notSaved", { reason: error.message }));
    else if (this.failed && state === "saved") this.session.complain(null);
    this.failed = state === "failed" || (this.failed && state !== "saved");
  }

  /**
   * Offer both versions. The one that is not taken is one step back in the history.
   *
   * `base` are the segments that both began with; null if they are not known.
   */
  async #conflict(theirs, base = this.saving.saved) {
    const mine = this.doc;
    const other = { duration: theirs.duration, segments: theirs.segments };
    const both = base && documents.merged({ ...mine, segments: base }, mine, other);
    const answer = await conflict(mine, other, both !== null);
    if (answer === "") {
      this.session.complain(t("conflict.open"));
      return;
    }
    this.session.complain(null);
    this.history.apply(other, null);
    this.saving.loaded(theirs.version);
    if (answer !== "theirs") {
      this.history.apply(answer === "both" ? both : mine, null);
      await this.saving.over(theirs.version);
    }
    this.#show();
  }

  /** Take up what the browser kept of an earlier visit that did not come to saving. */
  #restore() {
    const unsaved = kept(this.id);
    if (!unsaved || JSON.stringify(unsaved.segments) === JSON.stringify(this.doc.segments)) return;
    if (unsaved.version !== this.saving.version) {
      const theirs = { duration: this.doc.duration, segments: this.doc.segments, version: this.saving.version };
      this.history.apply({ ...this.doc, segments: unsaved.segments }, null);
      this.saving.conflicts();
      this.#conflict(theirs, null);
    } else {
      this.history.apply({ ...this.doc, segments: unsaved.segments }, null);
      this.session.say(t("edit.restored"));
    }
  }
}
