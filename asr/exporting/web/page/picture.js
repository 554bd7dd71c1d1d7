/** The picture of a sound: its spectrogram, and below it the posteriors of units, over one axis of seconds. */

import { BLANK } from "./frames.js";
import { heat, image, parsed } from "./heat.js";
import { Spectrogram } from "./spectrum.js";

const [LEFT, RIGHT, AXIS, GAP] = [52, 8, 26, 10]; // pixels around and between the two parts
const [HEIGHT, ROW] = [150, 15]; // pixels of the spectrogram, and of a row of posteriors
const MOST_ROWS = 24;
const MOST_COLUMNS = 900;
const LEAST = 0.05; // posterior that a unit must reach to get a row
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800]; // seconds between two, the first that has room

/**
 * Draw a sound: `samples` of `rate` Hz, which begin at `from` seconds, and the posteriors of its `frames`.
 *
 * Frames are a list of `{start, values, units, length}`. The picture is `span` seconds wide. `model` is the description
 * of the model. The spectrogram is kept in the sound.
 * Returns a text for readers who do not see the picture.
 */
export function draw(canvas, sound) {
  const { samples, rate, from, span, frames, model } = sound;
  const top = Math.min(rate, model.sample_rate) / 2;
  const table = posteriors(frames, from, span, model);
  const width = canvas.parentElement.clientWidth;
  const height = HEIGHT + AXIS + (table.rows.length ? GAP + ROW * table.rows.length : 0);
  canvas.style.height = `${height}px`;
  [canvas.width, canvas.height] = [width, height].map((size) => Math.round(size * devicePixelRatio));
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  const style = getComputedStyle(canvas);
  const plot = { left: LEFT, width: width - LEFT - RIGHT };
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textBaseline = "middle";
  context.textAlign = "right";

  const columns = Math.max(1, Math.min(MOST_COLUMNS, Math.round(plot.width)));
  const step = span / columns;
  if (sound.spectrogram?.step !== step) sound.spectrogram = new Spectrogram({ rate, top, step });
  const first = Math.round(from / step);
  const spectra = Array.from({ length: columns }, (_, column) => {
    return sound.spectrogram.column(first + column, samples, from);
  });
  context.drawImage(heat(spectra, sound.spectrogram.bins), plot.left, 0, plot.width, HEIGHT);
  context.fillText(`${top / 1000} kHz`, LEFT - 6, 8);
  context.fillText("0", LEFT - 6, HEIGHT - 6);
  context.imageSmoothingEnabled = false;
  const middle = HEIGHT + GAP;
  if (table.rows.length) {
    const image = shades(table, style.getPropertyValue("--accent"));
    context.drawImage(image, plot.left, middle, plot.width, ROW * table.rows.length);
    table.rows.forEach((unit, row) => context.fillText(label(unit, model), LEFT - 6, middle + (row + 0.5) * ROW));
    context.strokeStyle = style.getPropertyValue("--line");
    context.strokeRect(plot.left, middle, plot.width, ROW * table.rows.length);
  }
  axis(context, plot, height - AXIS, from, span);
  const below = table.rows.length ? ", and below it the posterior of each unit over time" : "";
  return `Spectrogram of ${(samples.length / rate).toFixed(1)} seconds${below}`;
}

function label(unit, model) {
  const symbol = model.units[unit - 1];
  return unit === BLANK ? "blank" : symbol === " " ? "space" : symbol;
}

/** Return the most probable units, the blank last, and the highest posterior of each in each column of pixels. */
function posteriors(frames, from, span, model) {
  const perFrame = model.stride / model.sample_rate;
  const size = model.units.length + 1;
  const columns = Math.min(MOST_COLUMNS, Math.ceil(span / perFrame));
  const table = Array.from({ length: size }, () => new Float32Array(columns));
  for (const part of frames) {
    for (let index = 0; index < part.length; index++) {
      const place = ((part.start + index) * perFrame - from) / span;
      const first = Math.floor(place * columns);
      const end = Math.max(first + 1, Math.floor((place + perFrame / span) * columns));
      for (let column = Math.max(0, first); column < Math.min(end, columns); column++) {
        for (let unit = 0; unit < size; unit++) {
          table[unit][column] = Math.max(table[unit][column], Math.exp(part.values[index * size + unit]));
        }
      }
    }
  }
  const highest = table.map((row) => row.reduce((most, value) => Math.max(most, value), 0));
  const rows = [...highest.keys()].filter((unit) => unit !== BLANK && highest[unit] >= LEAST);
  const shown = rows.sort((one, other) => highest[other] - highest[one]).slice(0, MOST_ROWS);
  shown.sort((one, other) => one - other);
  return { rows: highest[BLANK] ? [...shown, BLANK] : shown, values: table, columns };
}

/** Return posteriors as an image: the opacity of one colour, `#rrggbb`. */
function shades({ rows, values, columns }, colour) {
  const parts = parsed(colour);
  return image(columns, rows.length, (x, y) => [...parts, 255 * values[rows[y]][x]]);
}

function axis(context, plot, y, from, span) {
  const step = TICKS.find((one) => (one / span) * plot.width > 60) ?? 3600;
  context.textAlign = "center";
  context.strokeStyle = context.fillStyle;
  for (let tick = Math.ceil(from / step); tick * step <= from + span; tick++) {
    const x = plot.left + ((tick * step - from) / span) * plot.width;
    context.beginPath();
    context.moveTo(x, y + 2);
    context.lineTo(x, y + 6);
    context.stroke();
    const text = `${Number((tick * step).toFixed(1))} s`;
    context.fillText(text, Math.min(x, plot.left + plot.width - context.measureText(text).width / 2 + RIGHT), y + 16);
  }
}
