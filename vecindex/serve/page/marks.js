// Which parts of a text made the match: tokens are found in it again, and joined to words.

const CONTINUES = /^(##|▁|Ġ)+/;
const SPECIAL = /^(\[[A-Z]+\]|<[^<>]+>)$/;
const GAP = 60;
const IN_WORD = /[\p{L}\p{N}]/u;

export const isSpecial = (token) => SPECIAL.test(token);

/** The text without case and accents, and for each unit of it, where in the text it is from. */
function folded(text) {
  let plain = "";
  const places = [];
  let place = 0;
  for (const character of text) {
    const found = character.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    plain += found;
    for (let i = 0; i < found.length; i += 1) places.push([place, place + character.length]);
    place += character.length;
  }
  return { plain, places };
}

/** The words of a text with what their tokens add to the score: {start, end, value}. Tokens that are not found are left out. */
export function wordsOf(text, tokens) {
  const { plain, places } = folded(text);
  const words = [];
  let from = 0;
  for (const { token, contribution } of tokens) {
    const piece = folded(token.replace(CONTINUES, "")).plain;
    if (piece === "" || isSpecial(token)) continue;
    const found = plain.indexOf(piece, from);
    if (found < 0 || found - from > GAP) continue;
    from = found + piece.length;
    const start = places[found][0];
    const end = places[from - 1][1];
    const last = words.at(-1);
    if (last?.end === start && IN_WORD.test(text[start - 1]) && IN_WORD.test(text[start])) {
      last.end = end;
      last.value += contribution;
    } else if (IN_WORD.test(piece)) words.push({ start, end, value: contribution });
  }
  return words;
}

/** The parts of a text: {text, level, found}. `level` 1 to 3 is how much a word adds, `found` whether the query has it. */
export function marked(text, explanation) {
  const words = wordsOf(text, explanation.tokens);
  const values = words.map((word) => word.value);
  const most = Math.max(...values);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  for (const word of words) word.level = most > Math.max(mean, 0) ? levelOf((word.value - mean) / (most - mean)) : 0;
  const forms = explanation.terms.map((each) => folded(each.term).plain);
  const spans = forms.length ? withFound(text, words, forms) : words;
  const parts = [];
  let place = 0;
  for (const { start, end, level = 0, found = false } of spans) {
    if (start < place || (!level && !found)) continue;
    if (start > place) parts.push({ text: text.slice(place, start), level: 0, found: false });
    parts.push({ text: text.slice(start, end), level, found });
    place = end;
  }
  if (place < text.length) parts.push({ text: text.slice(place), level: 0, found: false });
  return parts;
}

/** Above the mean of the words, as every word adds a little. */
const levelOf = (share) => (share >= 0.7 ? 3 : share >= 0.4 ? 2 : share >= 0.15 ? 1 : 0);

/** All words of the text, with `found` for those that have one of these stems or forms. */
function withFound(text, words, forms) {
  const levels = new Map(words.map((word) => [word.start, word.level]));
  return [...text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)].map((match) => {
    const plain = folded(match[0]).plain;
    const found = forms.some((form) => plain === form || (form.length > 2 && plain.startsWith(form.replace(/[iey]$/, "")) && plain.length - form.length < 5));
    return { start: match.index, end: match.index + match[0].length, level: levels.get(match.index) ?? 0, found };
  });
}
