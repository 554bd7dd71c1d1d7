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
