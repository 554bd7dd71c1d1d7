/** The picture of a part of a recording on a canvas: waveform, spectrogram and axis of seconds. */

import { DARK, LIGHT, heat } from "../../../shared/heat.js";
import { Spectrogram } from "../../../shared/spectrum.js";
import { clock } from "../times.js";
import { RATE } from "./sound.js";

export const AXIS = 22; // pixels
const TOP = 8000; // Hz
const FINEST = 1.5; // pixels of a column of the spectrogram
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60];
const ROOM = 70; // pixels between two ticks, at least
const KEPT = 20_000; // columns of the spectrogram, about 20 MB

/** Make a canvas as sharp as the screen; return its context, which counts in CSS pixels. */
export function prepared(canvas, width, height) {
  const [wide, high] = [width, height].map((size) => Math.round(size * devicePixelRatio));
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Draw the lowest and highest value of each column of pixels around a middle line. */
export function wave(context, { min, max }, width, height, colour) {
  const middle = height / 2;
  context.fillStyle = colour;
  const step = width / min.length;
  min.forEach((low, column) => {
    const high = max[column];
    const y = middle - (high * height) / 2;
    context.fillRect(column * step, y, Math.max(step, 0.5), Math.max(((high - low) * height) / 2, 1));
  });
}

/** Return the lowest and highest sample of each of `count` parts, scaled so that the loudest reaches 1. */
function extremes(samples, count) {
  const [min, max] = [new Array(count).fill(0), new Array(count).fill(0)];
  let loudest = 1e-3;
  for (let column = 0; column < count; column++) {
    const end = Math.floor(((column + 1) * samples.length) / count);
    for (let place = Math.floor((column * samples.length) / count); place < end; place++) {
      min[column] = Math.min(min[column], samples[place]);
      max[column] = Math.max(max[column], samples[place]);
    }
    loudest = Math.max(loudest, -min[column], max[column]);
  }
  return { min: min.map((value) => value / loudest), max: max.map((value) => value / loudest) };
}

/** Pictures of one recording. */
export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.spectra = null; // of the last picture: its columns are kept
  }

  /**
   * Draw the part of the recording from `from` over `span` seconds; `samples` may be null while they load.
   *
   * `heights` are the pixels of waveform and spectrogram; the spectrogram may have none.
   */
  draw({ samples, from, span, heights }) {
    const width = this.canvas.parentElement.clientWidth;
    const [waveform, spectrogram] = heights;
    const context = prepared(this.canvas, width, waveform + spectrogram + AXIS);
    const style = getComputedStyle(this.canvas);
    if (samples) {
      const covered = (samples.length / RATE / span) * width; // the recording may end before the part
      const columns = Math.max(1, Math.round(covered));
      wave(context, extremes(samples, columns), covered, waveform, style.getPropertyValue("--accent"));
      if (spectrogram) {
        context.drawImage(this.#spectrogram(samples, from, span, width), 0, waveform, width, spectrogram);
      }
    }
    axis(context, style, from, span, width, waveform + spectrogram);
  }

  #spectrogram(samples, from, span, width) {
    const step = (span / width) * FINEST;
    if (this.spectra?.step !== step || this.spectra.columns.size > KEPT) {
      this.spectra = new Spectrogram({ rate: RATE, top: TOP, step });
    }
    const first = Math.round(from / step);
    const columns = Array.from({ length: Math.round(span / step) }, (_, index) => {
      return this.spectra.column(first + index, samples, from);
    });
    return heat(columns, this.spectra.bins, matchMedia("(prefers-color-scheme: dark)").matches ? DARK : LIGHT);
  }
}

function axis(context, style, from, span, width, y) {
  const step = TICKS.find((one) => (one / span) * width > ROOM) ?? 60;
  context.fillStyle = context.strokeStyle = style.color;
  context.font = `12px ${style.fontFamily}`;
  context.textBaseline = "middle";
  for (let tick = Math.ceil(from / step); tick * step <= from + span; tick++) {
    const x = ((tick * step - from) / span) * width;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x, y + 5);
    context.stroke();
    const text = clock(tick * step, step < 1 ? 1 : 0);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(Math.max(x - half, 0), width - 2 * half), y + 14);
  }
}
