/** Files that a reader chose or dropped, those in folders too. */

const HIDDEN = /^\./;

/** Return the files of an entry of a drop with their folders: `{file, folder}`. */
async function inside(entry, folder) {
  if (HIDDEN.test(entry.name)) return [];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, folder }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) break; // a reader returns some hundreds at a time
    found.push(...part);
  }
  const below = folder ? `${folder}/${entry.name}` : entry.name;
  return (await Promise.all(found.map((one) => inside(one, below)))).flat();
}

/** Return the files of a drop. The entries must be read before the event is over. */
export async function dropped(event) {
  const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  if (entries.every(Boolean)) return (await Promise.all(entries.map((entry) => inside(entry, "")))).flat();
  return [...event.dataTransfer.files].map((file) => ({ file, folder: "" }));
}

/** Return the files of a field for files or for a folder. */
export function chosen(input) {
  const files = [...input.files].map((file) => {
    const parts = file.webkitRelativePath.split("/").slice(0, -1);
    return { file, folder: parts.join("/"), hidden: [...parts, file.name].some((part) => HIDDEN.test(part)) };
  });
  input.value = ""; // so that the same choice counts again
  return files.filter(({ hidden }) => !hidden);
}

/** Let files be dropped onto the whole page; return a function that ends this. */
export function acceptDrops(take) {
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  const out = (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  };
  const drop = async (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take(await dropped(event));
  };
  const listeners = { dragover: over, dragleave: out, drop };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
  };
}
