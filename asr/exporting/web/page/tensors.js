/** Tensors of a safetensors file: `{name: Int32Array or Float32Array}`. */

const TYPES = { I32: Int32Array, F32: Float32Array };

/** Read an ArrayBuffer that holds vectors of int32 and float32. */
export function readTensors(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const tensors = {};
  for (const [name, { dtype, data_offsets: [first, end] }] of Object.entries(header)) {
    tensors[name] = new TYPES[dtype](buffer.slice(8 + size + first, 8 + size + end));
  }
  return tensors;
}
