// Hits as they are shown: text, score and place, and once one is opened, why it is where it is.

import { bar, decimals, element, link, number } from "./elements.js";
import { marked } from "./marks.js";
import { explainLink } from "./state.js";
import { columns } from "./tokens.js";

const LONGEST_SHOWN = 1_500;
const PLACES = ["line", "page", "slide", "row", "message", "cell", "item"];
const ORDERS = {
  dense: "meaning",
  lexical: "words",
  hybrid: "meaning and words",
  tokens: "tokens, compared in pairs",
  rerank: "all of these together",
  cross: "a model that reads both texts",
  groups: "one hit for each group",
};

/** The hits in an `<ol>`. `neighbours` is called with a hit whose neighbours are wanted. */
export class HitList {
  #list;
  #neighbours;

  constructor(list, neighbours) {
    this.#list = list;
    this.#neighbours = neighbours;
  }

  clear() {
    this.#list.replaceChildren();
  }

  /** Shows more hits. `scale` is the score of a full bar; `explain` gives a promise of a hit's explanation, or null; `canEncode` says whether texts can be explained. */
  append(hits, { scale, query, explain, canEncode }) {
    const made = hits.map((hit) => new Shown(hit, { scale, query, explain, canEncode, neighbours: this.#neighbours }));
    this.#list.append(...made.map((each) => each.item));
    return made;
  }

  buttons() {
    return [...this.#list.querySelectorAll("button.open")];
  }
}

/** One hit in the list. */
class Shown {
  #explained = false;

  constructor(hit, { scale, query, explain, canEncode, neighbours }) {
    Object.assign(this, { hit, query, explain, canEncode, neighbours });
    const name = `hit-${hit.rank ?? hit.key}-${(count += 1)}`;
    this.words = element("span", {}, shortened(hit.text));
    this.text = element("p.text", { id: name, dir: "auto" }, this.words);
    this.more = element("div.opened", { id: `${name}-more`, hidden: true });
    this.button = element(
      "button.open",
      { type: "button", "aria-expanded": "false", "aria-controls": `${name}-more`, "aria-describedby": name, onclick: () => this.toggle() },
      element("span.unseen", {}, hit.rank ? `Hit ${hit.rank}, details` : "Details"),
    );
    const score = Number.isFinite(hit.score) && element("p.score", {}, bar(hit.score / scale), element("span", { title: scoreName(hit) }, decimals(hit.score, scale === 1 ? 3 : 2)), element("span.unseen", {}, scoreName(hit)));
    const kind = hit.text.length > LONGEST_SHOWN ? "article.hit.is-long" : "article.hit";
    this.article = element(kind, { onclick: (event) => this.#clicked(event) }, element("div.head", {}, this.text, this.button), element("div.foot", {}, score, placeOf(hit)), this.more);
    this.article.neighbours = () => neighbours(hit);
    this.article.explainLink = canEncode ? explainLink(hit.text, query) : null;
    this.item = element("li", {}, this.article);
  }

  toggle() {
    const open = this.more.hidden;
    this.more.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    this.article.classList.toggle("is-open", open);
    if (open && !this.#explained) this.#fill();
  }

  /** Marks what made the match. */
  mark(explanation) {
    const parts = marked(shortened(this.hit.text), explanation);
    this.words.replaceChildren(...parts.map(({ text, level, found }) => (level || found ? element(`mark.level-${level}${found ? ".found" : ""}`, {}, text) : text)));
  }

  /** A click anywhere on the hit opens it, but not one that selects text. */
  #clicked(event) {
    if (event.target.closest("a, button, .opened") || String(getSelection())) return;
    this.toggle();
  }

  async #fill() {
    this.#explained = true;
    const why = element("div", { "aria-busy": "true" }, element("p.small", {}, "Working out why…"));
    this.more.replaceChildren(...inFull(this.hit), this.explain ? why : "", ...this.#details());
    if (!this.explain) return;
    try {
      const explanation = await this.explain(this.hit);
      why.replaceChildren(...(explanation ? reasons(explanation) : [element("p.small", {}, "The server did not explain this hit.")]));
      if (explanation) this.mark(explanation);
    } catch (error) {
      why.replaceChildren(element("p.small", {}, `It cannot be explained: ${error.message}`));
      this.#explained = false;
    }
    why.removeAttribute("aria-busy");
  }

  *#details() {
    const rows = [["key", this.hit.key], ...(this.hit.source ? [["source", link(this.hit.source)]] : []), ...(this.hit.span ? [["characters", `${number(this.hit.span[0])} to ${number(this.hit.span[1])}`]] : [])];
    for (const [name, value] of Object.entries(this.hit.metadata ?? {})) rows.push([name, typeof value === "string" ? link(value) : JSON.stringify(value)]);
    yield element("h3", {}, "Record");
    yield element("dl.facts", {}, rows.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    yield element(
      "p.actions",
      {},
      element("button", { type: "button", onclick: () => this.neighbours(this.hit) }, "Neighbours"),
      this.canEncode && element("a.button", { href: this.article.explainLink }, this.query ? "Explain the score" : "Explain the text"),
    );
  }
}

let count = 0;

const shortened = (text) => (text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text);
const scoreName = (hit) => (hit.ranked_by === "lexical" ? "BM25 score" : "cosine");

/** Where a hit is from, and its metadata in short. */
function placeOf(hit) {
  const parts = [];
  const unit = PLACES.find((name) => hit[name] !== undefined);
  if (hit.source) {
    const name = /^https?:/.test(hit.source) ? link(hit.source) : element("span", { title: hit.source }, hit.source.split("/").at(-1) || hit.source);
    parts.push(element("span.source", {}, name, unit ? `, ${unit} ${number(hit[unit])}` : ""));
  }
  for (const [name, value] of Object.entries(hit.metadata ?? {}).slice(0, 4)) {
    if (["string", "number", "boolean"].includes(typeof value)) parts.push(element("span.tag", { title: name }, element("span.unseen", {}, `${name}: `), String(value).slice(0, 60)));
  }
  return element("p.place", {}, parts);
}

/** The whole text with the sentences around it, where what is shown already is not all. */
function inFull(hit) {
  const sentences = (list) => list?.length > 0 && element("span.around", {}, ` ${list.join(" ")} `);
  if (!hit.before && !hit.after && hit.text.length <= LONGEST_SHOWN) return [];
  const name = hit.before || hit.after ? "In its document" : "The whole text";
  return [element("h3", {}, name), element("p.context", { dir: "auto", tabindex: hit.text.length > LONGEST_SHOWN ? "0" : null }, sentences(hit.before), element("span.itself", {}, hit.text), sentences(hit.after))];
}

function* reasons({ standings, tokens, terms, pairs, notes }) {
  if (standings.length) {
    yield element("h3", {}, "How it ranks");
    const rows = standings.map(({ by, rank, of, score }) => element("tr", {}, element("th", { scope: "row" }, ORDERS[by] ?? by), element("td", {}, `${number(rank)} of ${number(of)}`), element("td", {}, typeof score === "number" ? decimals(score, 3) : "")));
    yield element("table", {}, element("thead", {}, element("tr", {}, ["By", "Rank", "Score"].map((name) => element("th", { scope: "col" }, name)))), element("tbody", {}, rows));
  }
  if (tokens.length) {
    yield element("h3", {}, "What each token adds to the cosine");
    yield* columns(tokens, (each) => each.contribution ?? 0, "Tokens, and what each adds to the cosine");
  }
  if (terms.length) {
    yield element("h3", {}, "Words of the query that it has");
    yield element("p.words", {}, terms.map((each) => element("span.tag", {}, each.is_form ? `“${each.term}” as it is written` : each.term, " ", element("strong", {}, `+${decimals(each.score, 2)}`))));
  }
  if (pairs.length) {
    yield element("h3", {}, "Tokens in pairs: each of the query, and the nearest of the text");
    yield element("p.words", {}, pairs.map((each) => element("span.tag", {}, `${each.query_token} → ${each.text_token} `, element("strong", {}, decimals(each.cosine, 2)))));
  }
  for (const note of Object.values(notes)) yield element("p.small", {}, `Note: ${note}.`);
}
