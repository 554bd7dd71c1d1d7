/**
 * Language models inside the beam search: a model of words, one of characters, and the lexicon of all words.
 *
 * A port of `asr/decoding/fusion.py` and `asr/lm/ngram.py`, which explain the tables and the scores. The arrays come
 * from there. A missing model is a model that gives every token probability 1.
 */

const UNKNOWN = 0; // token of words that a model lacks
const END = 2; // token of the end of a sentence
const ROOT = 0; // node of the empty history
const OFF = -1; // as a node of the lexicon: no word begins with these units

/** Return the index of `value` in the sorted `values[low:end]`, or -1. */
function find(values, low, end, value) {
  let high = end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low < end && values[low] === value ? low : -1;
}

class NGram {
  constructor(tensors, kind) {
    for (const name of ["token", "log_prob", "backoff", "first", "suffix"]) this[name] = tensors[`${kind}.${name}`];
  }

  child(node, token) {
    return node === ROOT ? 1 + token : find(this.token, this.first[node], this.first[node + 1], token);
  }

  /** Return `[log-probability of a token after a state, next state]`. */
  advance(state, token) {
    let logProb = 0;
    let node = this.child(state, token);
    while (node < 0) {
      logProb += this.backoff[state];
      state = this.suffix[state];
      node = this.child(state, token);
    }
    const isState = this.first[node] < this.first[node + 1] || this.backoff[node] !== 0;
    return [logProb + this.log_prob[node], isState ? node : this.suffix[node]];
  }
}

export class Fusion {
  /** Combine the `decoder` of a model's description with the arrays of `decoder.safetensors`. */
  constructor(decoder, tensors) {
    this.weights = decoder.weights;
    this.closed = decoder.closed;
    this.space = decoder.space;
    this.start = decoder.start;
    this.token = tensors.token;
    this.words = new NGram(tensors, "words");
    this.characters = new NGram(tensors, "characters");
    this.lexicon = { first: tensors["lexicon.first"], unit: tensors["lexicon.unit"], word: tensors["lexicon.word"] };
  }

  /** Return the fields of the empty prefix. */
  root() {
    const [words, characters] = this.start;
    return { words, characters, lexicon: 0, inWord: false, spelled: 0, finished: 0, score: 0 };
  }

  /** Return the fields of a prefix that is `parent` and one unit more. */
  extended(parent, unit) {
    const [logProb, characters] = this.characters.advance(parent.characters, this.token[unit]);
    const node = { ...this.root(), words: parent.words, characters, finished: parent.finished };
    node.spelled = parent.spelled + logProb;
    if (unit === this.space) {
      if (parent.inWord) {
        [node.finished, node.words] = this.finished(parent, node.spelled);
        node.spelled = 0;
      }
    } else {
      node.lexicon = this.follow(parent.lexicon, unit);
      node.inWord = true;
    }
    node.score = node.finished + this.weights.lm * node.spelled;
    if (this.closed && node.lexicon === OFF) node.score = -Infinity;
    return node;
  }

  /** Score a prefix as the text of the whole utterance. */
  final(node) {
    let { finished, words } = node;
    if (node.inWord) {
      const [logProb] = this.characters.advance(node.characters, END);
      [finished, words] = this.finished(node, node.spelled + logProb);
    }
    return finished + this.weights.lm * this.words.advance(words, END)[0];
  }

  /** Return `[score with the last word finished, state of the word model after it]`. */
  finished(node, spelled) {
    const { lm, word: bonus, unknown } = this.weights;
    const word = node.lexicon === OFF ? UNKNOWN : this.lexicon.word[node.lexicon];
    const [logProb, state] = this.words.advance(node.words, word);
    const score = node.finished + bonus;
    if (word !== UNKNOWN) return [score + lm * logProb, state];
    if (this.closed) return [-Infinity, state];
    return [score + lm * (logProb + spelled) + unknown, state];
  }

  follow(node, unit) {
    if (node === OFF) return OFF;
    return find(this.lexicon.unit, this.lexicon.first[node], this.lexicon.first[node + 1], unit);
  }
}
