// The explain view: how two texts become vectors, step by step, and what their score is made of.

import { Latest, ask, isAbort } from "./ask.js";
import { bar, counted, decimals, element, number } from "./elements.js";
import { isSpecial } from "./marks.js";
import { isExternal } from "./state.js";
import { columns, tokenList } from "./tokens.js";

const PAUSE = 250;
const EXAMPLE = { text: "My name is Aun", against: "Hello, my name is Aun" };
const ROWS = 12;

/** The view in `section`. `change` is called with the texts as they are typed, `problem` with what goes wrong. */
export class Explaining {
  #latest = new Latest();
  #typing = 0;
  #facts = null;
  #fields;
  #steps = element("div", { id: "steps" });
  #problem;

  constructor(section, change, problem) {
    this.#problem = problem;
    const field = (name, label) => {
      const typed = () => {
        change({ [name]: this.#fields[name].value });
        clearTimeout(this.#typing);
        this.#typing = setTimeout(() => this.#ask(), PAUSE);
      };
      const area = element("textarea", { id: `explain-${name}`, rows: 2, maxlength: 5000, spellcheck: "false", dir: "auto", oninput: typed });
      return [area, element("div", {}, element("label", { for: area.id }, label), area)];
    };
    const [text, textBox] = field("text", "First text");
    const [against, againstBox] = field("against", "Second text, to compare it with");
    this.#fields = { text, against };
    section.append(
      element("h1", {}, "How a text becomes a vector"),
      element("p.lead", {}, "A model turns a text into a list of numbers, its vector. Texts that mean something similar get similar vectors. Change the two texts, and see what happens."),
      element("form.pair", { onsubmit: (event) => event.preventDefault() }, textBox, againstBox),
      this.#steps,
    );
  }

  show({ text, against }, facts) {
    this.#facts = facts;
    const given = text || against ? { text, against } : EXAMPLE;
    for (const [name, area] of Object.entries(this.#fields)) if (area.value !== given[name]) area.value = given[name];
    return this.#ask();
  }

  async #ask() {
    clearTimeout(this.#typing);
    const signal = this.#latest.begin();
    const text = this.#fields.text.value;
    const against = this.#fields.against.value;
    if (isExternal(this.#facts)) {
      this.#steps.replaceChildren(element("p.warning", {}, "The vectors of this index were made by another program, so there is no model here that could explain a text."));
      return;
    }
    if (!text.trim()) {
      this.#steps.replaceChildren(element("p", {}, "Write a text to see its tokens."));
      return;
    }
    try {
      const pair = against.trim() ? [{ text, against }, { text: against, against: text }] : [{ text }];
      const found = await Promise.all(pair.map((members) => ask("v1/explain", members, signal)));
      if (signal.aborted) return;
      this.#problem(null);
      this.#steps.replaceChildren(...steps(found, this.#facts?.runtime === "numpy"));
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.#steps.replaceChildren();
      this.#problem(error);
    }
  }
}

/** `fixed` says that a token has the same vector in every text. */
function* steps(found, fixed) {
  const [first, second] = found;
  yield step("1", "The text is cut into tokens", cut(found));
  yield step("2", "Each token gets a vector", vectors(first, second, fixed));
  yield step("3", first.pooling === "mean" ? "Their mean is the vector of the text" : "From these comes one vector for the text", pooled(first));
  if (!second) return;
  yield step("4", "Two texts are compared by their vectors", compared(first, second));
  yield step("5", "Why not flatten the rows, and pad them with zeros?", flattened(first, second));
}

const step = (count, title, content) => element("section.step", { "aria-label": title }, element("h2", {}, element("span.count", {}, count), title), ...content);
const shape = (numbers) => element("code.shape", {}, `[${numbers.join(", ")}]`);
const named = (text) => element("q", {}, text.length > 60 ? `${text.slice(0, 60)}…` : text);

function* cut(found) {
  const [{ tokens }] = found;
  const pieces = tokens.some((each) => each.token.startsWith("##"));
  const special = tokens.filter((each) => isSpecial(each.token)).map((each) => each.token);
  yield element(
    "p",
    {},
    "A token is a word, or a piece of a word, from a fixed list that the model knows. The small number is its place in that list.",
    special.length ? [" ", special.join(" and "), " are marks that the model puts around every text."] : "",
    pieces ? " A token that begins with ## continues the word before it." : "",
  );
  const chip = ({ token, id }) => element(`li${isSpecial(token) ? ".special" : ""}`, {}, element("span.token", {}, token), element("span.id", {}, number(id)));
  for (const each of found) {
    yield* tokenList("ol.chips", `Tokens of ${each.text}`, each.tokens, chip);
    if (each.truncated) yield element("p.warning", {}, `This text is too long for the model, which does not read its last ${counted(each.truncated, "token")}.`);
  }
}

function* vectors({ tokens, shapes }, second, fixed) {
  const [texts, rows, size] = shapes.token_vectors;
  yield element("p", {}, "Out of the model comes an array of the shape ", shape(shapes.token_vectors), `: ${texts} text, ${counted(rows, "token")}, and ${number(size)} numbers for each token.`, second ? [" For the second text the shape is ", shape(second.shapes.token_vectors), "."] : "");
  yield element("p", {}, "If you run “feature extraction” with this model yourself, this is the array that you get: one row for each token.");
  const shown = rows > ROWS ? [...tokens.slice(0, ROWS - 2), null, tokens.at(-1)] : tokens;
  yield element(
    "ol.matrix",
    { "aria-label": "The array: a row for each token" },
    shown.map((each) => (each === null ? element("li.gap", {}, "⋮") : element(`li${isSpecial(each.token) ? ".special" : ""}`, {}, element("span.token", {}, each.token), element("span.row", {}, element("span.unseen", {}, "a vector of "), `${number(size)} numbers`)))),
  );
  yield element("h3", {}, "What a row means");
  if (fixed) yield element("p", {}, "A row is what the model has stored for that token. The same word has the same numbers in every text.");
  else yield element("p", {}, "A row is what the model makes of that token ", element("em", {}, "in this text"), ": the same word in another text gets other numbers. The rows are called the last hidden state, since they come out of the last layer of the model. They are not the sum of token, segment and position embeddings, which is what goes into its first layer.");
  yield element("h3", {}, "What a single number means");
  yield element("p", {}, `By itself, nothing that could be named. The ${number(size)} numbers of a row are like the coordinates of a point: one alone says little, but together they say where the point is, and so which others are near.`);
}

const POOLING = {
  mean: (rows) => `The first numbers of all ${number(rows)} rows are averaged, then the second numbers, and so on.`,
  cls: () => "This model takes the row of its first token, into which it has gathered the whole text.",
  lasttoken: () => "This model takes the row of the last token, which has seen all others.",
  max: () => "This model takes the largest of all first numbers, the largest of all second numbers, and so on.",
};

function* pooled({ tokens, shapes, pooling }) {
  const rows = shapes.token_vectors[1];
  yield element("p", {}, POOLING[pooling]?.(rows) ?? `The rows are joined by “${pooling}”.`, ` This gives one list of ${number(shapes.sentence_vector[0])} numbers, of the shape `, shape(shapes.sentence_vector), ", however long the text is. So any two texts can be compared.");
  yield element("p", {}, "When texts of different lengths go through the model together, the shorter ones are filled up with empty tokens, which is called padding. The attention mask, here of the shape ", shape(shapes.attention_mask), ", has a 1 for each real token and a 0 for padding. Only real tokens count, so padding never changes a vector.");
  yield element("h3", {}, "How much of the vector comes from each token");
  yield* columns(tokens, (each) => each.share, "Tokens, and the share that each has in the vector");
  yield element("p.small", {}, "The shares add up to 1.");
}

function* compared(first, second) {
  yield element("p", {}, "The score is the cosine of the angle between the two vectors: 1 if they point in the same direction, and about 0 if the texts have nothing to do with each other.");
  yield element("p.score.large", {}, bar(first.score), element("strong", {}, decimals(first.score, 3)));
  for (const each of [first, second]) {
    yield element("h3", {}, "What each token of ", named(each.text), " adds");
    yield* columns(each.tokens, (token) => token.contribution, `Tokens of ${each.text}, and what each adds to the score`);
  }
  yield element("p.small", {}, `The numbers of each text add up to the score.${first.pooling === "mean" ? " This works since a vector is the mean of its tokens, and each of them has its part in it." : ""}`);
}

const PAIRS = 16;
const product = (one, other) => `${number(one)}\u00a0×\u00a0${number(other)} = ${number(one * other)}`;

function* flattened(first, second) {
  const size = first.shapes.token_vectors[2];
  const counts = [first, second].map((each) => each.tokens.length);
  const longest = Math.max(...counts);
  const missing = longest - Math.min(...counts);
  yield element(
    "p",
    {},
    `Flattening puts all rows into one long list: ${product(counts[0], size)} numbers for the first text, and ${product(counts[1], size)} for the second. `,
    missing ? `Lists can only be compared if they are equally long, so ${number(missing * size)} zeros are added at the end of the shorter one.` : "They are equally long here, but most texts are not.",
    " Then the first token is compared with the first, the second with the second, and so on:",
  );
  const cell = (tokens, place) => element(`td${place < tokens.length ? "" : ".padding"}`, {}, place < tokens.length ? tokens[place].token : `${number(size)} zeros`);
  const rows = Array.from({ length: Math.min(longest, PAIRS) }, (_, place) => element("tr", {}, element("th", { scope: "row" }, number(place + 1)), cell(first.tokens, place), cell(second.tokens, place)));
  const head = element("thead", {}, element("tr", {}, ["Place", "First text", "Second text"].map((name) => element("th", { scope: "col" }, name))));
  yield element("table.against", {}, head, element("tbody", {}, rows));
  yield element(
    "ul",
    {},
    element("li", {}, "Tokens are compared because they are at the same place, and not because they belong together. One more word at the beginning moves all the others, and nothing fits any more."),
    element("li", {}, "The zeros mean nothing, but they are compared as if they were part of the text. So two texts look different just because one is longer."),
    element("li", {}, "A longer text that comes later makes every list longer, even those that are stored already."),
  );
  yield element("p", {}, "The vector of step 3 has none of these faults: there is one for each text, and all are equally long.");
}
