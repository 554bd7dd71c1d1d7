/**
 * Operations on a document: segments with times, text, words and alternatives. No operation changes its input.
 *
 * A document is `{duration, segments}`, the segments ordered by their start. An operation that cannot be done returns
 * the document itself, so that callers compare by identity. Places are offsets into the text of a segment.
 */

import { matched } from "./matching.js";

export const SHORTEST = 0.05; // seconds of a segment
const TYPED = 1; // confidence of a word that a person wrote

/** Return the words of a text with their offsets: what stands between spaces. */
export function tokens(text) {
  return [...text.matchAll(/\S+/gu)].map((match) => ({
    text: match[0],
    from: match.index,
    to: match.index + match[0].length,
  }));
}

/** Return seconds rounded to milliseconds, as files hold them. */
function rounded(seconds) {
  return Math.round(seconds * 1000) / 1000;
}

export function find(doc, id) {
  return doc.segments.find((segment) => segment.id === id);
}

function byStart(one, other) {
  return one.start - other.start || one.end - other.end;
}

/** Return the document with the segment `id` replaced by `parts`. */
function replaced(doc, id, ...parts) {
  const segments = doc.segments.flatMap((segment) => (segment.id === id ? parts : [segment]));
  return { ...doc, segments: segments.sort(byStart) };
}

/** Return an id that no segment of the document has. */
export function freshId(doc) {
  const taken = doc.segments.map(({ id }) => Number(/^s(\d+)$/.exec(id)?.[1] ?? 0));
  return `s${Math.max(0, ...taken) + 1}`;
}

/**
 * Return the tokens of a segment with `start` and `end` in seconds and `confidence`, which is null without a word.
 *
 * The times of tokens without a word share the time between their neighbours by their lengths.
 */
export function timed(segment) {
  const parts = tokens(segment.text);
  const words = segment.words ?? [];
  const places = matched(
    parts.map(({ text }) => text),
    words.map(({ text }) => text),
  );
  const result = parts.map((part, index) => {
    const word = places[index] === null ? null : words[places[index]];
    return { ...part, start: word?.start ?? null, end: word?.end ?? null, confidence: word?.confidence ?? null };
  });
  for (let first = 0; first < result.length; first++) {
    if (result[first].start !== null) continue;
    let end = first;
    while (end < result.length && result[end].start === null) end++;
    const from = result[first - 1]?.end ?? segment.start;
    const until = Math.max(from, result[end]?.start ?? segment.end);
    const letters = result.slice(first, end).reduce((sum, { text }) => sum + text.length, 0);
    let before = 0;
    for (const token of result.slice(first, end)) {
      token.start = rounded(from + ((until - from) * before) / letters);
      before += token.text.length;
      token.end = rounded(from + ((until - from) * before) / letters);
    }
    first = end;
  }
  return result;
}

/** Return the words of a segment whose text became `text`: words that stay keep times and confidence. */
function rewritten(segment, text) {
  if (!segment.words?.length) return [];
  return timed({ ...segment, text }).map(({ text: word, start, end, confidence }) => ({
    text: word,
    start,
    end,
    confidence: confidence ?? TYPED,
  }));
}

/** Replace the text of a segment. A segment that was checked stays checked: its reader is the one who types. */
export function write(doc, id, text) {
  const segment = find(doc, id);
  if (!segment || segment.text === text) return doc;
  return replaced(doc, id, { ...segment, text, words: rewritten(segment, text) });
}

/** Say whether a segment is checked. */
export function mark(doc, id, checked) {
  const segment = find(doc, id);
  if (!segment || segment.checked === checked) return doc;
  return replaced(doc, id, { ...segment, checked });
}

/** Name the speaker of a segment; an empty name is none. */
export function name(doc, id, speaker) {
  const segment = find(doc, id);
  if (!segment || (segment.speaker ?? "") === speaker) return doc;
  return replaced(doc, id, { ...segment, speaker: speaker || null });
}

/** Divide the word at an offset into its text; the times are shared by length. */
function halves(word, letters) {
  const border = rounded(word.start + ((word.end - word.start) * letters) / word.text.length);
  return [
    { ...word, text: word.text.slice(0, letters), end: border },
    { ...word, text: word.text.slice(letters), start: border },
  ];
}

/**
 * Split a segment at a place of its text. The border lies midway between the words on both sides.
 *
 * A segment without text is split at `time`. Both parts are unchecked: the border is a guess.
 */
export function split(doc, id, place, time = null) {
  const segment = find(doc, id);
  if (!segment || segment.end - segment.start < 2 * SHORTEST) return doc;
  const [before, after] = [segment.text.slice(0, place).trim(), segment.text.slice(place).trim()];
  if (!before !== !after) return doc;
  const left = [];
  const right = [];
  for (const token of timed(segment)) {
    if (token.to <= place) left.push(token);
    else if (token.from >= place) right.push(token);
    else {
      const [one, other] = halves(token, place - token.from);
      left.push(one);
      right.push(other);
    }
  }
  const border = before ? (left.at(-1).end + right[0].start) / 2 : time;
  if (border === null) return doc;
  const middle = rounded(Math.min(Math.max(border, segment.start + SHORTEST), segment.end - SHORTEST));
  const words = (part) => {
    if (!segment.words?.length) return [];
    return part.map(({ text, start, end, confidence }) => ({ text, start, end, confidence: confidence ?? TYPED }));
  };
  const shared = { ...segment, checked: false, nbest: [] };
  return replaced(
    doc,
    id,
    within({ ...shared, end: middle, text: before, words: words(left) }),
    within({ ...shared, id: freshId(doc), start: middle, text: after, words: words(right) }),
  );
}

/** Join a segment with the next one, if one person speaks both. Their alternatives are dropped: they are of the parts. */
export function join(doc, id) {
  const place = doc.segments.findIndex((segment) => segment.id === id);
  const [segment, next] = doc.segments.slice(place, place + 2);
  if (place < 0 || !next || (segment.speaker ?? null) !== (next.speaker ?? null)) return doc;
  // Words of one part alone would leave the other part without times.
  const words = [segment, next].flatMap((part) => {
    if (!segment.words?.length && !next.words?.length) return [];
    return timed(part).map(({ text, start, end, confidence }) => ({ text, start, end, confidence: confidence ?? TYPED }));
  });
  const joined = {
    ...segment,
    end: Math.max(segment.end, next.end),
    text: [segment.text.trim(), next.text.trim()].filter(Boolean).join(" "),
    checked: segment.checked && next.checked,
    words,
    nbest: [],
  };
  const rest = { ...doc, segments: doc.segments.filter((one) => one.id !== next.id) };
  return replaced(rest, id, joined);
}

/** Return a segment whose words lie between its borders. */
function within(segment) {
  const clamp = (time) => Math.min(Math.max(time, segment.start), segment.end);
  return {
    ...segment,
    words: (segment.words ?? []).map((word) => ({ ...word, start: clamp(word.start), end: clamp(word.end) })),
  };
}

/**
 * Move a border of a segment, `start` or `end`, to `time`, as far as its neighbours leave room.
 *
 * A neighbour that touches the border moves with it, and keeps its shortest length. A neighbour that overlaps already,
 * as another speaker does, limits nothing.
 */
export function move(doc, id, border, time) {
  const place = doc.segments.findIndex((segment) => segment.id === id);
  if (place < 0) return doc;
  const segment = doc.segments[place];
  const atStart = border === "start";
  const neighbour = doc.segments[atStart ? place - 1 : place + 1];
  const edge = atStart ? "end" : "start"; // of the neighbour
  const apart = neighbour && (atStart ? segment.start - neighbour.end : neighbour.start - segment.end);
  let [lowest, highest] = atStart
    ? [0, segment.end - SHORTEST]
    : [segment.start + SHORTEST, Math.max(doc.duration, segment.end)];
  const touches = neighbour && Math.abs(apart) < 1e-6;
  if (touches && atStart) lowest = neighbour.start + SHORTEST;
  else if (touches) highest = neighbour.end - SHORTEST;
  else if (apart > 0 && atStart) lowest = neighbour.end;
  else if (apart > 0) highest = neighbour.start;
  if (lowest > highest) return doc;
  const moved = rounded(Math.min(Math.max(time, lowest), highest));
  if (moved === segment[border]) return doc;
  const result = replaced(doc, id, within({ ...segment, [border]: moved }));
  return touches ? replaced(result, neighbour.id, within({ ...neighbour, [edge]: moved })) : result;
}

/** Add an empty segment from `start` to `end`, cut where others lie; the document itself if there is no room. */
export function insert(doc, start, end) {
  [start, end] = [rounded(start), rounded(end)];
  for (const segment of doc.segments) {
    if (segment.start <= start && segment.end > start) start = segment.end;
    else if (segment.start > start) end = Math.min(end, segment.start);
  }
  end = Math.min(end, doc.duration);
  if (end - start < SHORTEST) return doc;
  const added = { id: freshId(doc), start, end, text: "", checked: false, speaker: null, words: [], nbest: [] };
  return { ...doc, segments: [...doc.segments, added].sort(byStart) };
}

/** Remove a segment with its text. */
export function remove(doc, id) {
  return find(doc, id) ? replaced(doc, id) : doc;
}

/** Return those of the tokens of a segment whose confidence lies below `threshold`; a checked segment has none. */
export function doubtful(segment, threshold, all = timed(segment)) {
  if (segment.checked) return [];
  return all.filter(({ confidence }) => confidence !== null && confidence < threshold);
}

/**
 * Return the next doubtful word, or the previous one with `direction` -1: `{id, from, to, start}`, or null.
 *
 * The search begins at `place` of the segment `id`, which may be null: at the beginning, or the end, of the document.
 */
export function nextDoubtful(doc, id, place, direction, threshold) {
  const here = doc.segments.findIndex((segment) => segment.id === id);
  const segments = direction > 0 ? doc.segments.slice(Math.max(here, 0)) : doc.segments.slice(0, here < 0 ? undefined : here + 1);
  for (const segment of direction > 0 ? segments : segments.reverse()) {
    const found = doubtful(segment, threshold).filter(({ from, to }) => {
      if (segment.id !== id) return true;
      return direction > 0 ? from >= place : to <= place;
    });
    const token = direction > 0 ? found[0] : found.at(-1);
    if (token) return { id: segment.id, from: token.from, to: token.to, start: token.start };
  }
  return null;
}

/** Return the token at a place of a segment's text, or the one before it, or the first; null without text. */
export function tokenAt(segment, place) {
  const all = timed(segment);
  return all.findLast(({ from }) => from <= place) ?? all[0] ?? null;
}

/** Return the segment at a time, or the next one; undefined behind the last. */
export function segmentAt(doc, time) {
  return doc.segments.find(({ end }) => end > time);
}

/**
 * Return what the alternatives of a segment have in place of the text from `from` to `to`, whole words, best first.
 *
 * Texts that the segment has there already are left out.
 */
export function alternatives(segment, from, to) {
  const current = tokens(segment.text);
  const first = current.findIndex((token) => token.to > from);
  const end = current.findLastIndex((token) => token.from < to) + 1;
  if (first < 0 || end <= first) return [];
  const words = current.map(({ text }) => text);
  const present = words.slice(first, end).join(" ");
  const found = new Set();
  for (const { text } of segment.nbest ?? []) {
    const other = tokens(text).map((token) => token.text);
    const places = matched(words, other);
    // The alternative is searched between the nearest words before and after that both texts share.
    let before = first - 1;
    while (before >= 0 && places[before] === null) before--;
    let after = end;
    while (after < words.length && places[after] === null) after++;
    const part = other.slice(before < 0 ? 0 : places[before] + 1, places[after] ?? other.length);
    // Words beside the asked ones that differ too have their own part of it.
    const [skip, leave] = [first - before - 1, after - end];
    if (part.length > skip + leave) found.add(part.slice(skip, part.length - leave).join(" "));
  }
  found.delete(present);
  return [...found];
}

/** Return what of a segment is of people: its borders, text, state and speaker. */
function content({ start, end, text, checked, speaker }) {
  return JSON.stringify([rounded(start), rounded(end), text, checked, speaker || null]);
}

/** Return the segments of two documents that the other one does not have alike: `{mine, theirs}`. */
export function differences(mine, theirs) {
  const [ours, others] = [mine, theirs].map((doc) => new Set(doc.segments.map(content)));
  return {
    mine: mine.segments.filter((segment) => !others.has(content(segment))),
    theirs: theirs.segments.filter((segment) => !ours.has(content(segment))),
  };
}

/**
 * Return the document with the changes of two people to `base`, or null if they changed one segment differently.
 *
 * Their changes are of one segment too if the segments that result would overlap.
 */
export function merged(base, mine, theirs) {
  const byId = ({ segments }) => new Map(segments.map((segment) => [segment.id, segment]));
  const [before, ours, others] = [base, mine, theirs].map(byId);
  const alike = (one, other) => one === other || (one && other && content(one) === content(other));
  let { segments } = theirs;
  for (const id of new Set([...before.keys(), ...ours.keys()])) {
    const [old, own, other] = [before.get(id), ours.get(id), others.get(id)];
    if (alike(old, own) || alike(own, other)) continue;
    if (old && !alike(old, other)) return null;
    if (old) segments = segments.filter((segment) => segment.id !== id);
    const taken = !old && other; // both have added a segment, with one id
    const added = taken ? { ...own, id: freshId({ segments: [...segments, ...mine.segments] }) } : own;
    if (added) segments = [...segments, added];
  }
  segments = [...segments].sort(byStart);
  const overlap = ({ start }, index) => index > 0 && rounded(start) < rounded(segments[index - 1].end);
  return segments.some(overlap) ? null : { ...theirs, segments };
}
