/** The keys of the editor: one table for the handler, the help and the hints of buttons. */

// `where`: "text" keys act only while the cursor is in a text, "outside" keys only while it is not.
export const KEYS = [
  { action: "nextDoubt", keys: ["Tab"], where: "text" },
  { action: "previousDoubt", keys: ["Shift+Tab"], where: "text" },
  { action: "checkNext", keys: ["Enter"], where: "text" },
  { action: "uncheck", keys: ["Shift+Enter"], where: "text" },
  { action: "toggle", keys: ["Ctrl+Space", "F8"] },
  { action: "toggle", keys: ["Space"], where: "outside" },
  { action: "playWord", keys: ["Ctrl+Shift+Space", "F9"], where: "text" },
  { action: "loop", keys: ["Ctrl+Shift+L"] },
  { action: "slower", keys: ["Ctrl+Shift+ArrowDown"] },
  { action: "faster", keys: ["Ctrl+Shift+ArrowUp"] },
  { action: "alternatives", keys: ["Ctrl+M"], where: "text" },
  { action: "split", keys: ["Ctrl+Enter"], where: "text" },
  { action: "join", keys: ["Ctrl+J"], where: "text" },
  { action: "startEarlier", keys: ["Alt+Shift+ArrowLeft"], where: "text" },
  { action: "startLater", keys: ["Alt+Shift+ArrowRight"], where: "text" },
  { action: "endEarlier", keys: ["Alt+Shift+ArrowDown"], where: "text" },
  { action: "endLater", keys: ["Alt+Shift+ArrowUp"], where: "text" },
  { action: "previousSegment", keys: ["Ctrl+ArrowUp"], where: "text" },
  { action: "nextSegment", keys: ["Ctrl+ArrowDown"], where: "text" },
  { action: "undo", keys: ["Ctrl+Z"] },
  { action: "redo", keys: ["Ctrl+Shift+Z", "Ctrl+Y"] },
  { action: "save", keys: ["Ctrl+S"] },
  { action: "leaveText", keys: ["Escape"], where: "text" },
  { action: "help", keys: ["?"], where: "outside" },
  { action: "help", keys: ["F1"] },
];

/** Return the name of a key; on a keyboard of another script, of the Latin letter at its place. */
function named({ key, code }) {
  if (key === " ") return "Space";
  if (key.length > 1) return key;
  return /[\x21-\x7e]/.test(key) ? key.toUpperCase() : (/^Key([A-Z])$/.exec(code)?.[1] ?? key);
}

/** Return the name of the pressed keys as the table writes it. */
function pressed(event) {
  const key = named(event);
  const shift = event.shiftKey && (key.length > 1 || /[A-Z]/.test(key)); // "?" has it already
  const control = event.ctrlKey || event.metaKey;
  return [control && "Ctrl", event.altKey && "Alt", shift && "Shift", key].filter(Boolean).join("+");
}

/** Return the action of a key event, or undefined. */
export function actionOf(event) {
  // Keys of an input method belong to it. AltGr types letters, and reports Ctrl and Alt.
  if (event.isComposing || event.getModifierState("AltGraph")) return undefined;
  const { target } = event;
  const text = target.matches("textarea");
  // Space presses a button that has the focus, and "?" is typed into fields.
  const free = !target.matches("textarea, input, select, button, a, summary");
  const name = pressed(event);
  const found = KEYS.find(({ keys, where }) => {
    const fits = where === "text" ? text : where === "outside" ? free || (name === "?" && target.matches("button")) : true;
    return fits && keys.includes(name);
  });
  return found?.action;
}

/** Return the keys of an action for a hint, or an empty text. */
export function hint(action) {
  return KEYS.find((one) => one.action === action)?.keys[0] ?? "";
}
