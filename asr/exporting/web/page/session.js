/** A session of ONNX Runtime Web on the model of this folder: one thread, on the processor. */

import * as onnxruntime from "../onnxruntime/onnxruntime.js";
import { Frames } from "./frames.js";
import { ServerProblem } from "./problems.js";

const END = 2n ** 63n - 1n; // end of a selection that goes to the last frame
const GZIP = 0x1f8b; // first bytes of gzip

/** Fetch a file of this folder as bytes. Throws ServerProblem. */
export async function fetchBytes(path) {
  const address = new URL(`../${path}`, import.meta.url);
  let answer;
  try {
    answer = await fetch(address, { cache: "no-cache" }); // so that files of one export meet
  } catch (error) {
    throw new ServerProblem(`${path} cannot be loaded (${error.message}). Is the server still running?`);
  }
  if (!answer.ok) throw new ServerProblem(`${path} cannot be loaded: the server answers ${answer.status}.`);
  return answer.arrayBuffer();
}

/** Unpack gzip; bytes that the server has unpacked already stay as they are. */
async function unpacked(bytes) {
  if (new DataView(bytes).getUint16(0) !== GZIP) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export class Session {
  static async load() {
    const [module, model] = await Promise.all(["onnxruntime/module.wasm.gz", "model.onnx"].map(fetchBytes));
    const settings = onnxruntime.env.wasm;
    settings.numThreads = 1; // several threads need headers that few servers send
    settings.wasmBinary = await unpacked(module);
    settings.wasmPaths = { mjs: new URL("../onnxruntime/module.js", import.meta.url).href };
    const session = new Session();
    session.inner = await onnxruntime.InferenceSession.create(new Uint8Array(model));
    return session;
  }

  /**
   * Compute all outputs, `{name: {data, dims}}`, from inputs, `{name: [numbers, dims]}`.
   *
   * Inputs that are left out get the values that compute a whole recording: everything is selected, nothing was before.
   */
  async run(inputs) {
    const feeds = {};
    for (const { name, type, shape } of this.inner.inputMetadata) {
      if (type === "int64") {
        const numbers = inputs[name]?.[0] ?? [0, END];
        feeds[name] = new onnxruntime.Tensor(type, BigInt64Array.from(numbers, BigInt), [numbers.length]);
      } else {
        const empty = shape.map((size) => (size === "P" ? 0 : typeof size === "string" ? 1 : size));
        const [numbers, dims] = inputs[name] ?? [new Float32Array(empty.reduce((a, b) => a * b)), empty];
        feeds[name] = new onnxruntime.Tensor(type, numbers, dims);
      }
    }
    return this.inner.run(feeds);
  }

  /** Compute the log-probabilities of a whole recording. */
  async logProbs(samples) {
    const { log_probs: found } = await this.run({
      audio: [samples, [1, samples.length]],
      lengths: [[samples.length], [1]],
    });
    return new Frames(found.data, found.dims[2]);
  }
}
