// The explain view: how two texts become vectors, step by step, and what their score is made of.

import { Latest, ask, isAbort } from "./ask.js";
import { at, bar, decimals, element, number } from "./elements.js";
import { isSpecial } from "./marks.js";
import { columns } from "./tokens.js";

const PAUSE = 250;
const EXAMPLE = { text: "My name is Aun", against: "Hello, my name is Aun" };
const ROWS = 12;

/** The view in `section`. `change` is called with the texts as they are typed, `problem` with what goes wrong. */
export class Explaining {
  #latest = new Latest();
  #typing = 0;
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
    const [text, textBox] = field("text", "A text");
    const [against, againstBox] = field("against", "Compared with");
    this.#fields = { text, against };
    section.append(
      element("h1", {}, "How a text becomes a vector"),
      element("p.lead", {}, "A model turns each of these texts into one list of numbers. Texts that mean something similar get similar lists. Change them, and see what happens."),
      element("form.pair", { onsubmit: (event) => event.preventDefault() }, textBox, againstBox),
      this.#steps,
    );
  }

  show({ text, against }) {
    const given = text || against ? { text, against } : EXAMPLE;
    for (const [name, area] of Object.entries(this.#fields)) if (area.value !== given[name]) area.value = given[name];
    return this.#ask();
  }

  async #ask() {
    clearTimeout(this.#typing);
    const signal = this.#latest.begin();
    const text = this.#fields.text.value;
    const against = this.#fields.against.value;
    if (!text.trim()) {
      this.#steps.replaceChildren(element("p", {}, "Write a text to see its tokens."));
      return;
    }
    try {
      const pair = against.trim() ? [{ text, against }, { text: against, against: text }] : [{ text }];
      const found = await Promise.all(pair.map((members) => ask("v1/explain", members, signal)));
      if (signal.aborted) return;
      this.#problem(null);
      this.#steps.replaceChildren(...steps(found));
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.#steps.replaceChildren();
      this.#problem(error);
    }
  }
}

function* steps(found) {
  const [first, second] = found;
  yield step("1", "The text is cut into tokens", cut(found));
  yield step("2", "Each token gets a vector", vectors(first, second));
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
    "A token is a word, or a piece of one, from the fixed list that the model knows. The small number is its place in that list.",
    special.length ? [" ", special.join(" and "), " are marks that the model puts around every text."] : "",
    pieces ? " A token with ## in front goes on with the word before it." : "",
  );
  for (const each of found) yield element("ol.chips", { "aria-label": `Tokens of ${each.text}` }, each.tokens.slice(0, 128).map(({ token, id }) => element(`li${isSpecial(token) ? ".special" : ""}`, {}, element("span.token", {}, token), element("span.id", {}, number(id)))));
  if (found[0].truncated) yield element("p.warning", {}, `The model does not read the last ${number(found[0].truncated)} tokens of the first text: it is too long.`);
}

function* vectors({ tokens, shapes }, second) {
  const [texts, rows, size] = shapes.token_vectors;
  yield element("p", {}, "Out of the model comes an array of the shape ", shape(shapes.token_vectors), `: ${texts} text, ${number(rows)} tokens, and ${number(size)} numbers for each token.`, second ? [" For the second text the shape is ", shape(second.shapes.token_vectors), "."] : "");
  const shown = rows > ROWS ? [...tokens.slice(0, ROWS - 2), null, tokens.at(-1)] : tokens;
  yield element(
    "ol.matrix",
    { "aria-label": "The array: a row for each token" },
    shown.map((each) => (each === null ? element("li.gap", {}, "⋮") : element(`li${isSpecial(each.token) ? ".special" : ""}`, {}, element("span.token", {}, each.token), element("span.row", {}, element("span.unseen", {}, "a vector of "), `${number(size)} numbers`)))),
  );
  yield element("p", {}, "A row is what the model has made of that token ", element("em", {}, "among its neighbours"), ": the same word in another sentence gets other numbers. This is the last hidden state. It is not the sum of token, segment and position embeddings, which is what goes into the model.");
}

const POOLING = {
  mean: (rows) => `It is the mean of the ${number(rows)} rows: all first numbers are averaged, then all second numbers, and so on.`,
  cls: () => "This model takes the row of its first token, into which it has gathered the whole text.",
  lasttoken: () => "This model takes the row of the last token, which has seen all others.",
  max: () => "This model takes the largest of all first numbers, the largest of all second numbers, and so on.",
};

function* pooled({ tokens, shapes, pooling }) {
  const rows = shapes.token_vectors[1];
  yield element("p", {}, POOLING[pooling]?.(rows) ?? `The rows are joined by “${pooling}”.`, " What is left has the shape ", shape(shapes.sentence_vector), ", however long the text is, so any two texts can be compared.");
  yield element("p", {}, "When texts of different lengths go through the model together, the short ones are padded to the longest. The attention mask, here ", shape(shapes.attention_mask), ", says which tokens are real. Padding has no part in the vector, and never changes it.");
  yield element("h3", {}, "How much of the vector each token makes");
  yield* columns(tokens, (each) => each.share, "Tokens, and the share that each has in the vector");
  yield element("p.small", {}, "The shares add up to 1.");
}

function* compared(first, second) {
  yield element("p", {}, "The score is the cosine of the angle between the two vectors: 1 if they point the same way, about 0 if the texts have nothing to do with each other.");
  yield element("p.score.large", {}, bar(first.score), element("strong", {}, decimals(first.score, 3)));
  for (const each of [first, second]) {
    yield element("h3", {}, "What each token of ", named(each.text), " adds");
    yield* columns(each.tokens, (token) => token.contribution, `Tokens of ${each.text}, and what each adds to the score`);
  }
  yield element("p.small", {}, "Within each text, these add up to the score. A vector is a mean, and so the score is a sum of what each token adds.");
}

const PAIRS = 16;

function* flattened(first, second) {
  const size = first.shapes.token_vectors[2];
  const counts = [first, second].map((each) => each.tokens.length);
  const longest = Math.max(...counts);
  const missing = longest - Math.min(...counts);
  yield element(
    "p",
    {},
    `Flattened, with one row behind the other, the first text has ${number(counts[0])} × ${number(size)} = ${number(counts[0] * size)} numbers, and the second ${number(counts[1])} × ${number(size)} = ${number(counts[1] * size)}. `,
    missing ? `To compare them, ${number(missing * size)} zeros have to be put behind the shorter one.` : "They have the same length here, but hardly any other text has.",
    " Then the first token is compared with the first, the second with the second:",
  );
  const cell = (tokens, place) => element(`td${place < tokens.length ? "" : ".padding"}`, {}, place < tokens.length ? tokens[place].token : `${number(size)} zeros`);
  const rows = Array.from({ length: Math.min(longest, PAIRS) }, (_, place) => element("tr", {}, element("th", { scope: "row" }, number(place + 1)), cell(first.tokens, place), cell(second.tokens, place)));
  const head = element("thead", {}, element("tr", {}, ["Place", "First text", "Second text"].map((name) => element("th", { scope: "col" }, name))));
  yield element("table.against", {}, head, element("tbody", {}, rows));
  yield element(
    "ul",
    {},
    element("li", {}, "Tokens meet because they are at the same place, not because they have to do with each other. One more word at the front moves all others, and nothing fits any more."),
    element("li", {}, "The zeros stand for nothing, but are compared as if they were part of the text."),
    element("li", {}, "A longer text that comes later makes every array longer, also those that are stored."),
  );
  yield element("p", {}, "The mean has none of these faults: one vector for each text, always of the same length.");
}
