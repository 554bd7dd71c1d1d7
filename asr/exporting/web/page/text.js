/** Units to text: the spelling of units, and the normaliser of `asr/text.py`. */

const INVISIBLE = /[\ufeff\u200b\u2060\u00ad]/gu;
const SPACES = /[\s\x1c-\x1f\x85]+/gu;
const TYPEWRITTEN = { "’": "'", "‐": "-", "‑": "-" };
const TURKIC = { I: "ı", İ: "i" };

/** Return the function that spells unit indices, without blanks, as normalised text. */
export function speller({ units, separator, text }) {
  return (indices) => normalised(indices.map((index) => units[index - 1]).join(separator), text);
}

/** Normalise text by the settings of the model: `lower`, `strip_punctuation`, `keep_inside_words`. */
export function normalised(text, settings) {
  text = text.replace(INVISIBLE, "").normalize("NFC");
  if (settings.strip_punctuation) text = stripped(text.replace(/[’‐‑]/gu, (one) => TYPEWRITTEN[one]), settings);
  if (settings.lower === "turkic") text = text.replace(/[Iİ]/gu, (one) => TURKIC[one]);
  if (settings.lower) text = text.toLowerCase().normalize("NFC");
  return text.replace(SPACES, " ").trim();
}

/** Tell whether a character is a punctuation mark or a symbol, except letters for tones such as ˥. */
function isPunctuation(character) {
  return /^[\p{P}\p{S}]$/u.test(character) && !(/^\p{Sk}$/u.test(character) && character > "\xff");
}

function stripped(text, settings) {
  const characters = [...text];
  const outside = (neighbour) => neighbour === undefined || neighbour.search(SPACES) === 0 || isPunctuation(neighbour);
  return characters
    .map((character, place) => {
      if (!isPunctuation(character)) return character;
      const inside = !outside(characters[place - 1]) && !outside(characters[place + 1]);
      return inside && settings.keep_inside_words.includes(character) ? character : " ";
    })
    .join("");
}
