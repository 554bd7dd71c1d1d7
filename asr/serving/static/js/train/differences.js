/** What a hypothesis changes in its reference: words that are equal, missing and added. */

/**
 * Align the words of two texts with the fewest missing and added words.
 *
 * Returns parts in reading order, `{kind, text}`: "same", "missing" (in the reference alone) or "added".
 */
export function differences(reference, hypothesis) {
  const [first, second] = [reference, hypothesis].map((text) => text.normalize("NFC").split(/\s+/u).filter(Boolean));
  const common = Array.from({ length: first.length + 1 }, () => new Uint32Array(second.length + 1));
  for (let i = first.length - 1; i >= 0; i--) {
    for (let j = second.length - 1; j >= 0; j--) {
      common[i][j] =
        first[i] === second[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const parts = [];
  const add = (kind, word) => {
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += ` ${word}`;
    else parts.push({ kind, text: word });
  };
  let [i, j] = [0, 0];
  while (i < first.length || j < second.length) {
    if (i < first.length && j < second.length && first[i] === second[j]) {
      add("same", first[i]);
      [i, j] = [i + 1, j + 1];
    } else if (i < first.length && (j === second.length || common[i + 1][j] >= common[i][j + 1])) {
      add("missing", first[i++]);
    } else {
      add("added", second[j++]);
    }
  }
  return parts;
}
