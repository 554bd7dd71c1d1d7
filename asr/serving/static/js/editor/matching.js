/** Which words two texts share, in order. */

const MOST = 4_000_000; // comparisons: texts that differ in more words than this allows share none of these

/**
 * Return for each word of `words` its place in `others`, or null: a longest common subsequence.
 *
 * Words before the first and after the last difference are matched without a search.
 */
export function matched(words, others) {
  const places = new Array(words.length).fill(null);
  let first = 0;
  const shorter = Math.min(words.length, others.length);
  while (first < shorter && words[first] === others[first]) places[first] = first++;
  let last = 0; // words at the end that are equal
  while (last < shorter - first && words.at(-1 - last) === others.at(-1 - last)) last++;
  for (let back = 1; back <= last; back++) places[words.length - back] = others.length - back;
  const [rows, columns] = [words.length - first - last, others.length - first - last];
  if (!rows || !columns || rows * columns > MOST) return places;
  // most[row][column]: words in common from this row and column on
  const width = columns + 1;
  const most = new Uint32Array((rows + 1) * width);
  for (let row = rows - 1; row >= 0; row--) {
    for (let column = columns - 1; column >= 0; column--) {
      const here = row * width + column;
      most[here] =
        words[first + row] === others[first + column]
          ? most[here + width + 1] + 1
          : Math.max(most[here + width], most[here + 1]);
    }
  }
  for (let row = 0, column = 0; row < rows && column < columns; ) {
    const here = row * width + column;
    if (words[first + row] === others[first + column]) places[first + row++] = first + column++;
    else if (most[here + width] >= most[here + 1]) row++;
    else column++;
  }
  return places;
}
