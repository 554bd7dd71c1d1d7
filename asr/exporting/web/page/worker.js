/** The worker: it holds the recogniser, so that the page stays quick while the model computes. */

import { Problem } from "./problems.js";
import { Recognizer } from "./recognizer.js";

let live = null;
let last = start();

async function start() {
  try {
    const recognizer = await Recognizer.load();
    postMessage({ kind: "ready", model: recognizer.model });
    return recognizer;
  } catch (error) {
    fail(error);
    throw error;
  }
}

function fail(error) {
  postMessage({ kind: "problem", text: error instanceof Problem ? error.message : `${error.name}: ${error.message}` });
}

/** Do what the page asks for: each answer ends with `{kind: "done"}`. */
const TASKS = {
  async recording(recognizer, { samples, rate, languageModel }) {
    for await (const segment of recognizer.transcribe(samples, rate, languageModel)) {
      const { start, frames, text } = segment;
      postMessage({ kind: "text", start, frames, final: text ? [text] : [] });
      postMessage({ kind: "progress", seconds: segment.end / recognizer.model.sample_rate });
    }
    postMessage({ kind: "done" });
  },

  async open(recognizer, { rate, languageModel }) {
    live = recognizer.live(rate, languageModel);
  },

  async samples(_, { samples }) {
    for await (const update of live.feed(samples)) postMessage({ kind: "text", ...update });
  },

  async close() {
    for await (const update of live.feed(new Float32Array(0), true)) postMessage({ kind: "text", ...update });
    postMessage({ kind: "done" });
  },
};

onmessage = ({ data }) => {
  last = last.then(async (recognizer) => {
    try {
      await TASKS[data.task](recognizer, data);
    } catch (error) {
      fail(error);
      postMessage({ kind: "done" });
    }
    return recognizer;
  });
};
