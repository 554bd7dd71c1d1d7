/** Where a recording is cut into pieces between pauses: a port of `cut` of `asr/recognition/longform.py`. */

import { rounded } from "./numbers.js";
import { betweenPauses, findSpeech } from "./speech.js";

const OVERLAP = 3; // seconds that two pieces share on either side of a cut in mid-speech
const SHORTEST = 1; // seconds of a piece that is cut at a pause too short to end a segment
const MUCH = 1.5; // speech without a pause is cut if it is longer than this multiple of the longest piece
const MARGIN = 0.2; // seconds of a pause, or half of a shorter pause, that stay with the speech before and after it
const DIP = 0.1; // seconds without speech at which a long piece is cut
const PART = 120; // seconds in which speech is found at a time
const HEARD = 30; // seconds that the last part has at least

/**
 * Cut a recording into pieces, by the field `lengths` of the model's description.
 *
 * Yields `{first, end, start, keep, pause}`: the samples of a piece, the encoder frame at which the piece begins, the
 * bounds of its frames that count (null: to the last one), and whether a pause follows. `stride` is an encoder frame in
 * samples.
 */
export function* cut(samples, rate, stride, lengths) {
  const count = samples.length;
  if (count / rate <= lengths.whole) {
    yield { first: 0, end: count, start: 0, keep: [0, null], pause: true };
    return;
  }
  const whole = (place) => Math.floor(place / stride) * stride;
  const [shortest, longest, overlap, margin] = [
    SHORTEST,
    lengths.longest,
    Math.min(OVERLAP, lengths.longest / 2),
    MARGIN,
  ].map((seconds) => whole(rounded(seconds * rate)));
  const [pause, dip, part, heard] = [lengths.pause, DIP, PART, HEARD].map((seconds) => rounded(seconds * rate));
  const most = rounded(MUCH * longest);
  const reach = most + overlap + pause; // samples from the start of a piece that decide where it ends
  let [limit, sounds] = [0, []]; // the end of the part that is known, and the speech in this part
  let [start, context] = [0, 0]; // the first sample not given yet, and how many samples before it are given again
  while (start < count) {
    if (limit < count && start + reach > limit) {
      const origin = Math.min(start - context, whole(Math.max(0, count - heard)));
      limit = Math.min(origin + part, count);
      sounds = findSpeech(samples.subarray(origin, limit), rate)
        .map(([first, end]) => [Math.max(origin + first, start), origin + end])
        .filter(([, end]) => end > start);
    }
    const ahead = sounds.filter(([, end]) => end > start);
    if (!context) {
      const silent = limit === count ? count : whole(limit - middle(0, reach)); // where a pause without end is left
      const begin = ahead.length ? whole(ahead[0][0] - margin) : silent;
      if (begin > start) {
        start = begin;
        continue;
      }
    }
    const [speech] = betweenPauses(ahead, pause);
    let end = speech && speech[0] - start < pause + margin ? speech[1] : start;
    const following = ahead.find(([first]) => first > end);
    end = Math.min(end + margin, following ? middle(end, following[0]) : limit);
    if (end < limit) end = whole(end);
    let after = 0;
    if (end - start > most) {
      const widest = widestGap(ahead, dip, start + shortest, start + longest);
      end = widest === null ? start + longest : whole(widest);
      after = widest === null ? overlap : 0;
    }
    const first = start - context;
    const beyond = after || end === limit ? end + after : end - 1; // the frame at `end` belongs to the next piece
    yield {
      first,
      end: Math.min(beyond, count),
      start: first / stride,
      keep: [context / stride, after ? (end - first) / stride : null],
      pause: !after,
    };
    [start, context] = [Math.max(end, start + stride), after];
  }
}

/** Return the middle, from `from` to `to`, of the widest gap between sounds; null if none is `shortest` or longer. */
function widestGap(sounds, shortest, from, to) {
  let [widest, found] = [shortest, null];
  for (let index = 1; index < sounds.length; index++) {
    const [first, end] = [sounds[index - 1][1], sounds[index][0]];
    const place = middle(first, end);
    if (end - first >= widest && from <= place && place <= to) [widest, found] = [end - first, place];
  }
  return found;
}

function middle(first, end) {
  return Math.floor((first + end) / 2);
}
