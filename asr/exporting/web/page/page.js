/** The page: buttons, files, text and the picture. The worker does the rest. */

import { draw } from "./picture.js";
import { Problem } from "./problems.js";
import { appended } from "./samples.js";
import { Microphone, decodeRecording } from "./sound.js";

const SHOWN = 10; // seconds of live sound in the picture
const element = (id) => document.getElementById(id);
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
let model = null;
let microphone = null;
let sound = null; // what the picture shows: see `draw`
let text = null; // the paragraph of the sound in work
let finished = () => {}; // called when the worker has done what it was asked for
let drawn = false; // whether the next frame of the screen draws the picture

const HANDLERS = {
  ready({ model: description }) {
    model = description;
    element("loading").hidden = true;
    element("app").hidden = false;
    element("language").hidden = !model.decoder;
    element("facts").textContent = model.facts.join(" · ");
    element("live").textContent = model.stream
      ? "Text comes while you speak."
      : "Text comes after each pause of your speech.";
    say("Ready.");
  },

  text({ start, frames, final, partial }) {
    for (const line of final) {
      text.querySelector(".final").append(`${line} `);
      element("copy").disabled = false;
    }
    text.querySelector(".partial").textContent = partial ?? "";
    if (frames) sound.frames.push({ start, ...frames });
    picture();
  },

  progress({ seconds }) {
    const whole = sound.samples.length / sound.rate;
    if (seconds < whole) say(`Transcribed ${Math.round(seconds)} of ${Math.round(whole)} seconds.`);
  },

  problem({ text: problem }) {
    complain(problem);
    if (!model) element("loading").hidden = true;
  },

  done: () => finished(),
};

worker.onmessage = ({ data }) => HANDLERS[data.kind](data);
worker.onerror = (event) => complain(`This browser cannot run the page: ${event.message ?? "no module workers"}.`);

function say(message) {
  element("status").textContent = message;
}

function complain(message) {
  element("problem").append(`${message}\n`);
  element("problem").hidden = false;
}

function calm() {
  element("problem").replaceChildren();
  element("problem").hidden = true;
}

/** Begin the text of a sound: a heading and a paragraph, with its final and its open part. */
function begin(name) {
  text = element("source").content.firstElementChild.cloneNode(true);
  text.querySelector("h3").textContent = name;
  element("text").append(text);
  element("nothing").hidden = true;
  element("clear").disabled = false;
}

function done(task) {
  return new Promise((resolve) => {
    finished = resolve;
    worker.postMessage(task);
  });
}

function busy(is) {
  for (const id of ["record", "files", "clear"]) element(id).disabled = is;
  element("open").classList.toggle("disabled", is);
}

function picture() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    if (!sound?.samples.length) return;
    element("picture").hidden = false;
    element("canvas").setAttribute("aria-label", draw(element("canvas"), sound));
  });
}

async function transcribe(files) {
  busy(true);
  calm();
  for (const file of files) {
    say(`Transcribing ${file.name} …`);
    try {
      const { samples, rate } = await decodeRecording(file);
      begin(file.name);
      sound = { samples, rate, from: 0, span: samples.length / rate, frames: [], model };
      await done({ task: "recording", samples, rate, languageModel: element("use").checked });
      if (!text.querySelector(".final").textContent) text.querySelector(".partial").textContent = "(no speech found)";
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      complain(error.message);
    }
  }
  say("Done.");
  busy(false);
}

async function record() {
  calm();
  busy(true);
  let rate = null;
  try {
    microphone = await Microphone.open((samples) => {
      worker.postMessage({ task: "samples", samples });
      const kept = appended(sound.samples, samples);
      sound.samples = kept.slice(-SHOWN * sound.rate);
      sound.from += (kept.length - sound.samples.length) / sound.rate;
      const before = (sound.from * model.sample_rate) / model.stride;
      sound.frames = sound.frames.filter((part) => part.start + part.length > before);
      picture();
    });
    rate = microphone.rate;
  } catch (error) {
    complain(error.message);
    busy(false);
    return;
  }
  begin("Microphone");
  sound = { samples: new Float32Array(0), rate, from: 0, span: SHOWN, frames: [], model };
  worker.postMessage({ task: "open", rate, languageModel: element("use").checked });
  element("record").disabled = false;
  element("record").classList.add("recording");
  element("record").textContent = "Stop";
  say("Listening …");
}

async function stop() {
  element("record").disabled = true;
  await microphone.close();
  microphone = null;
  await done({ task: "close" });
  element("record").classList.remove("recording");
  element("record").textContent = "Record";
  say("Done.");
  busy(false);
}

element("record").onclick = () => (microphone ? stop() : record());

element("files").onchange = async ({ target }) => {
  await transcribe([...target.files]);
  target.value = ""; // so that the file that was chosen can be chosen again
};

element("copy").onclick = async () => {
  calm();
  if (!navigator.clipboard) {
    complain("Browsers let pages of https:// addresses and of localhost copy, no others. Select the text instead.");
    return;
  }
  const lines = [...document.querySelectorAll(".final")].map((part) => part.textContent.trim());
  await navigator.clipboard.writeText(lines.filter(Boolean).join("\n"));
  say("Copied.");
};

element("clear").onclick = () => {
  element("text").replaceChildren();
  element("nothing").hidden = false;
  element("picture").hidden = true;
  element("copy").disabled = element("clear").disabled = true;
  sound = null;
  calm();
  say("Ready.");
};

document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
};

document.ondragleave = () => document.body.classList.remove("dropping");

document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (model && !element("files").disabled) transcribe([...event.dataTransfer.files]);
};

new ResizeObserver(picture).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").onchange = picture;
