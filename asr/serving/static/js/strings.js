/**
 * All texts of the page. A further language is one more table of this form, with a line in `LANGUAGES`.
 *
 * `{name}` stands for a value. A text whose value `count` decides its form is a table of the forms that Intl.PluralRules
 * names: `one` and `other` in English.
 */

const ENGLISH = {
  title: "Speech to text",
  skip: "To the content",
  places: "Views",
  "place.recordings": "Recordings",

  "key.ask": "This service needs a key. Ask the person who started it.",
  "problem.unreachable": "The service does not answer. Is it still running?",
  "problem.answer": "The service answered with status {status}.",
  "problem.job": "The task failed. The log of the service says why.",

  // Record prompts.
  "place.record": "Prompts",
  "record.title": "Record prompts",
  "record.folder": "Recording prompts needs a folder: start the service with --data FOLDER.",
  "record.place": "Prompt {place} of {count}",
  "record.level": "Level of the microphone",
  "record.level.off": "The microphone is closed.",
  "record.level.quiet": "Quiet: nobody speaks, or the microphone is too far away.",
  "record.level.good": "Good level.",
  "record.level.clipped": "Too loud: move away from the microphone, or turn it down.",
  "record.record": "Record",
  "record.stop": "Stop",
  "record.again": "Record again",
  "record.play": "Play",
  "record.next": "Next",
  "record.back": "Back",
  "record.state.new": "Not recorded yet.",
  "record.state.opening": "Opening the microphone …",
  "record.state.recording": "Recording …",
  "record.state.saving": "Saving …",
  "record.state.saved": "Recorded.",
  "record.state.recorded": "Recorded, {seconds} s.",
  "record.state.unsaved": "Not saved yet: see below.",
  "record.state.short": "That was too short to be a recording; nothing was changed. Record again.",
  "record.all": "All prompts are recorded.",
  "record.progress": "{done} of {count} recorded",
  "record.train": "Train a model",
  "record.warning.clipped": "The recording is clipped: move away from the microphone, or turn it down. Record again.",
  "record.warning.very quiet": "The recording is very quiet: come closer, or turn the microphone up. Record again.",
  "record.warning.much noise": "There is much noise: close windows, turn fans off, come closer. Record again.",
  "record.warning.too short": "The recording is too short for this text: was it cut off? Record again.",
  "record.warning.silent": "The recording is silent: is the microphone turned off? Record again.",
  "record.ended.lost": "The microphone gives no more sound. What it gave is kept. Connect it, then record again.",
  "record.ended.long": "The recording became too long and was ended. It is kept.",
  "record.unplayable": "The recording cannot be played: it is gone from the folder, or the service does not answer.",
  "record.unsaved": {
    one: "One recording is not saved. This page keeps it until it is closed.",
    other: "{count} recordings are not saved. This page keeps them until it is closed.",
  },
  "record.unsaved.retry": "Try again",
  "record.unsaved.file": "Save as a file",
  "record.unsaved.elsewhere": "A recording of a prompt could not be saved. It is kept: open “Prompts”.",
  "record.key.space": "Space",
  "record.key.space.does": "record, stop",
  "record.key.enter": "Enter",
  "record.key.enter.does": "next (also while recording)",
  "record.key.arrows": "← →",
  "record.key.arrows.does": "back, next",
  "record.key.p": "P",
  "record.key.p.does": "play",
  "record.list": "All prompts",
  "record.list.done": "recorded",
  "record.list.change": "Change the list",
  "record.list.label": "Prompts: one sentence a line",
  "record.list.hint": "Recorded prompts stay, also where their line is taken out.",
  "record.list.save": "Save the list",
  "record.list.load": "Load a text file",
  "record.list.cancel": "Cancel",
  "record.list.empty": "The list is empty: write or load at least one sentence.",
  "record.list.encoding": "{name} is not in UTF-8: save it as UTF-8, then load it again.",
  "microphone.insecure":
    "Browsers give the microphone to pages of localhost and of https:// addresses only. Open this page on the computer " +
    "that runs the service, or start the service with --tls-cert and --tls-key.",
  "microphone.NotAllowedError":
    "The browser has no permission to use the microphone. Allow it beside the address of this page, then record again.",
  "microphone.NotFoundError": "No microphone was found. Connect one, then record again.",
  "microphone.NotReadableError":
    "The microphone cannot be read: another program may use it. Close that program, then record again.",

  // Train.
  "place.train": "Train",
  "train.folder": "Training needs a folder: start the service with --data FOLDER.",
  "train.torch": "Training needs PyTorch on the computer that runs the service: pip install 'own-asr[train]'.",
  "train.intro": "A model learns from recordings whose text a person has checked, and from recorded prompts.",
  "train.data": "Learn from",
  "train.data.all": "everything that is checked in this folder",
  "train.data.chosen": "what I choose",
  "train.source.read": "Recorded prompts",
  "train.source.prompts": { one: "{count} prompt", other: "{count} prompts" },
  "train.source.recording": { one: "{duration} {count} checked segment", other: "{duration} {count} checked segments" },
  "train.look": "Look at the data",
  "train.look.running": "Reading recordings and texts …",
  "train.problems": { one: "One problem", other: "{count} problems" },
  "train.problems.none": "No problems found",
  "train.lines": "What was found",
  "train.budget": "Train for",
  "train.budget.10m": "to see whether it learns",
  "train.budget.30m": "for up to half an hour of speech",
  "train.budget.2h": "for hours of speech",
  "train.budget.own": "Other:",
  "train.budget.none": "As long as it helps:",
  "train.budget.none.detail": "the amount of data decides",
  "train.minutes": "minutes",
  "train.expect":
    "What to expect of sentences: after 5 minutes of speech about half of the characters are right, after 1 hour about " +
    "four of five, after 3 hours nearly nine of ten. A few words instead of sentences are much easier.",
  "train.from": "Begin with",
  "train.from.nothing": "nothing: a new model",
  "train.from.hint": "A model of the same writing that was trained before learns from few recordings sooner.",
  "train.start": "Train",
  "train.start.first": "Look at the data first.",
  "train.state.none": "No training",
  "train.state.running": "Training",
  "train.state.stopped": "Training was stopped",
  "train.state.finished": "Training has finished",
  "train.state.failed": "Training has failed",
  "train.progress": "Part of the training that is done",
  "train.begins": "The first epoch goes on.",
  "train.epoch": "Epoch {epoch} of {epochs}",
  "train.best": "best CER {cer} %",
  "train.took": "{time} so far",
  "train.left": "about {time} left",
  "train.closing": "Closing this page changes nothing: training goes on, and this page shows it when it is opened again.",
  "train.stop": "Stop",
  "train.continue": "Continue",
  "train.again": "Train again",
  "train.use": "Transcribe with {model}",
  "train.chart.loss": "Loss: how surprising the texts are to the model",
  "train.chart.errors": "Errors in validation recordings, which the model does not learn",
  "train.epochs": "epoch",
  "train.curve.epoch": "epoch",
  "train.curve.train_loss": "training",
  "train.curve.validation_loss": "validation",
  "train.curve.cer": "CER",
  "train.curve.wer": "WER",
  "train.heard": "What it recognises now",
  "train.heard.marks": "Struck out: words that are missing. Underlined: words that were not said.",
  "train.missing": "missing:",
  "train.added": "added:",
  "train.numbers": "Numbers of all epochs",
  "train.log": "Last lines of the training",
  "time.seconds": "{seconds} s",
  "time.minutes": "{minutes} min",
  "time.hours": "{hours} h",
  "time.hours.minutes": "{hours} h {minutes} min",

  // What next.
  "place.next": "What next",
  "next.folder": "This view needs a folder: start the service with --data FOLDER.",
  "next.none": "Every recording of this folder is checked.",
  "next.order": "The first ones teach the model most, or are quickest to finish.",
  "next.confidence": "confidence {share}",
  "next.effort": "Minutes saved",
  "next.saved": {
    one: "Drafts have saved {count} minute of work so far.",
    other: "Drafts have saved {count} minutes of work so far.",
  },
  "next.lost": {
    one: "Correcting took {count} minute longer than typing would have taken.",
    other: "Correcting took {count} minutes longer than typing would have taken.",
  },
  "next.saved.unknown":
    "Not measured yet: type one recording from nothing and correct the draft of another; then both can be compared.",
  "next.work": "Work",
  "next.typing": "Typing from nothing",
  "next.correcting": "Correcting a draft",
  "next.sound": "Sound",
  "next.time": "Time worked",
  "next.each": "For 1 minute of sound",
  "next.minutes": "{minutes} min",
  "next.unmeasured": "not measured",
  "next.how":
    "The editor counts the seconds in which you work; a pause of more than a minute does not count. Saved is the time " +
    "that typing would have taken for the corrected sound, less the time that correcting took.",
};

const LANGUAGES = { en: ENGLISH };
const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];

/** The language of the page: the first that the reader prefers and the page has. */
export const language = (navigator.languages ?? []).map((one) => one.split("-")[0]).find((one) => LANGUAGES[one]) ?? "en";
export const direction = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";

const plurals = new Intl.PluralRules(language);

/** Return the text `key` with its values filled in. A text that a language lacks is English. */
export function t(key, values = {}) {
  const found = LANGUAGES[language][key] ?? ENGLISH[key];
  if (found === undefined) throw new Error(`strings.js has no text ${key}`);
  const text = typeof found === "string" ? found : (found[plurals.select(values.count)] ?? found.other);
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
