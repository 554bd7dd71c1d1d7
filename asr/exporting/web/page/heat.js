/** A spectrogram as an image: decibels to colours. */

const RANGE = 70; // decibels from the first colour to the last
const SHADES = 256;
export const DARK = palette("000004", "3b0f70", "8c2981", "de4968", "fe9f6d", "fcfdbf"); // magma
export const LIGHT = palette("ffffff", "d9dde3", "8b95a3", "3f4854", "0b0d10"); // as printed spectrograms
const NOTHING = [0, 0, 0, 0]; // transparent

/** Return the parts red, green and blue of a colour `#rrggbb`. */
export function parsed(colour) {
  return colour.match(/[\da-f]{2}/gi).map((part) => parseInt(part, 16));
}

/** Return SHADES colours between the given ones, from quiet to loud. */
function palette(...named) {
  const colours = named.map(parsed);
  return Array.from({ length: SHADES }, (_, shade) => {
    const share = (shade / (SHADES - 1)) * (colours.length - 1);
    const low = Math.min(Math.floor(share), colours.length - 2);
    return [...colours[low].map((value, part) => value + (share - low) * (colours[low + 1][part] - value)), 255];
  });
}

/** Return an image whose pixels `paint(x, y)` returns as red, green, blue and opacity. */
export function image(width, height, paint) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) pixels.data.set(paint(x, y), 4 * (y * width + x));
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * Return columns of decibels as an image, low frequencies at the bottom; a column that is null is transparent.
 *
 * `colours` is DARK or LIGHT, named after the page that they suit.
 */
export function heat(columns, bins, colours = DARK) {
  let loudest = -Infinity;
  for (const column of columns) for (const level of column ?? []) loudest = Math.max(loudest, level);
  return image(columns.length, bins, (x, y) => {
    if (columns[x] === null) return NOTHING;
    const share = Math.max(0, 1 + (columns[x][bins - 1 - y] - loudest) / RANGE);
    return colours[Math.round(share * (SHADES - 1))];
  });
}
