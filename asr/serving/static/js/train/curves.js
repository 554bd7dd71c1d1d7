/** Curves over the epochs of a training, as SVG of the width they are shown in. */

const SVG = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM, HEIGHT] = [48, 12, 10, 36, 220]; // pixels
const MOST_MARKERS = 30; // epochs up to which each epoch has a marker of its own
const QUARTERED = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10]; // whose quarters are short numbers

/**
 * Draw series over epochs.
 *
 * `series` is a list of `{name, kind, values}`; `kind` ("first", "second") gives the colour, the line and the marker in
 * the style sheet; a value that is null is left out. `label` is the text for readers who do not see the picture.
 */
export function curves({ epochs, series, width, label, unit = "", axis }) {
  const finite = series.flatMap(({ values }) => values.filter(Number.isFinite));
  const top = roundUp(Math.max(...finite, 0) || 1, QUARTERED);
  const last = Math.max(...epochs, 2);
  const x = (epoch) => LEFT + ((epoch - 1) / (last - 1)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const svg = node("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", class: "curves" });
  svg.setAttribute("aria-label", label);
  for (const value of [0, top / 4, top / 2, (3 * top) / 4, top]) {
    svg.append(node("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(text(`${Number(value.toPrecision(3))}${unit}`, { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }));
  }
  for (const epoch of ticks(last, Math.max(2, Math.floor((width - LEFT - RIGHT) / 50)))) {
    svg.append(text(epoch, { x: x(epoch), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }));
  }
  svg.append(text(axis, { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }));
  for (const { kind, values } of series) {
    const points = epochs.map((epoch, index) => [epoch, values[index]]).filter(([, value]) => Number.isFinite(value));
    const line = points.map(([epoch, value]) => `${x(epoch).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(node("polyline", { class: `curve ${kind}`, points: line }));
    const marked = points.length <= MOST_MARKERS ? points : points.slice(-1);
    for (const [epoch, value] of marked) svg.append(marker(kind, x(epoch), y(value)));
  }
  return svg;
}

/** Return the sign of a series for a legend: a piece of its line with its marker. */
export function sign(kind) {
  const svg = node("svg", { viewBox: "0 0 34 12", width: 34, height: 12, class: "curves", "aria-hidden": "true" });
  svg.append(node("polyline", { class: `curve ${kind}`, points: "1,6 33,6" }), marker(kind, 17, 6));
  return svg;
}

function marker(kind, x, y) {
  const attributes =
    kind === "first" ? ["circle", { cx: x, cy: y, r: 3.5 }] : ["rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7 }];
  return node(attributes[0], { ...attributes[1], class: `marker ${kind}` });
}

/** Return the lowest of `factors` times a power of ten that is not below `value`. */
function roundUp(value, factors) {
  const power = 10 ** Math.floor(Math.log10(value));
  return factors.map((factor) => factor * power).find((one) => one >= value * (1 - 1e-9));
}

/** Return whole epochs from 1 to `last` with equal steps, at most `most`. */
function ticks(last, most) {
  let step = 1;
  while ((last - 1) / step + 1 > most) step = roundUp(step + 1, [1, 2, 5, 10]);
  const found = [1];
  for (let epoch = step; epoch <= last; epoch += step) if (epoch > 1) found.push(epoch);
  return found;
}

function node(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(content, attributes) {
  const made = node("text", attributes);
  made.textContent = content;
  return made;
}
