// The search: what is asked while someone types, and which answers are shown.

import { Latest, ask, isAbort, withParameters } from "./ask.js";
import { at, counted, element, number, sentence } from "./elements.js";
import { expression } from "./filters.js";
import { HitList } from "./hits.js";
import { isExternal } from "./state.js";

const PAUSE = 90;
const EXPLAIN_AFTER = 250;
const HITS = 10;
const BROWSED = 20;
const CONTEXT = 2;

/** Runs searches into the page. `problem` is called with what goes wrong, or null; `neighbours` with a hit. */
export class Searching {
  #latest = new Latest();
  #typing = 0;
  #explaining = 0;
  #problem;
  #list;
  #shown = 0;

  constructor(problem, neighbours) {
    this.#problem = problem;
    this.#list = new HitList(at("hits"), neighbours);
  }

  /** Searches once no key has been pressed for a moment. */
  soon(state, facts) {
    clearTimeout(this.#typing);
    clearTimeout(this.#explaining);
    this.#typing = setTimeout(() => this.now(state, facts), PAUSE);
  }

  /** Searches; an answer to what was asked before is not shown any more. */
  async now(state, facts) {
    clearTimeout(this.#typing);
    clearTimeout(this.#explaining);
    const signal = this.#latest.begin();
    const asked = request(state);
    at("hits").setAttribute("aria-busy", "true");
    try {
      const found = await ask(asked.path, asked.members, signal);
      if (signal.aborted) return;
      this.#problem(null);
      wrongFilter(null, state);
      this.#shown = 0;
      this.#list.clear();
      at("legend").hidden = true;
      this.#show(found, asked, state, facts, signal);
      at("said").replaceChildren(...said(found, state, facts));
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.#list.clear();
      at("legend").hidden = true;
      at("said").replaceChildren();
      at("more").hidden = true;
      at("warnings").replaceChildren();
      wrongFilter(error, state);
      this.#problem(isWrongFilter(error, state) ? null : error);
    } finally {
      if (!signal.aborted) at("hits").removeAttribute("aria-busy");
    }
  }

  /** Moves the focus by so many hits; from the search, to the first. */
  move(by) {
    const buttons = this.#list.buttons();
    const place = buttons.indexOf(document.activeElement?.closest("article.hit")?.querySelector("button.open"));
    const next = place < 0 ? (by > 0 ? 0 : -1) : place + by;
    if (next < 0) at("query").focus();
    const button = buttons[Math.min(next, buttons.length - 1)];
    if (next < 0 || !button) return;
    button.focus({ preventScroll: true });
    button.closest("article").scrollIntoView({ block: "nearest" });
  }

  #show(found, asked, state, facts, signal) {
    const hits = found.hits ?? found.records;
    const explain = explainer(asked, state, facts, signal, hits.length);
    if (!this.#shown) this.scale = state.q && state.mode === "lexical" ? Math.max(hits[0]?.score ?? 1, 1e-9) : 1;
    const shown = this.#list.append(hits, { scale: this.scale, query: state.q, explain, canEncode: !isExternal(facts) });
    this.#shown += hits.length;
    at("warnings").replaceChildren(...(found.warnings ?? []).map((each) => element("p.warning", {}, `${sentence(each.message)} ${each.advice}`)));
    if (state.q && hits.length) this.#explaining = setTimeout(() => mark(shown, explain, signal), EXPLAIN_AFTER);
    const next = asked.next(found);
    at("more").hidden = next === null;
    at("more").onclick = () => this.#more(next, state, facts, signal);
  }

  async #more(asked, state, facts, signal) {
    at("more").disabled = true;
    try {
      const found = await ask(asked.path, asked.members, signal);
      const last = this.#list.buttons().length;
      this.#show(found, asked, state, facts, signal);
      this.#list.buttons()[last]?.focus();
    } catch (error) {
      if (!isAbort(error)) this.#problem(error);
    } finally {
      at("more").disabled = false;
    }
  }
}

/** Whether it is the expression that someone writes, so that it is said there. */
const isWrongFilter = (error, state) => error.type === "InvalidFilter" && state.where.trim() !== "";

function wrongFilter(error, state) {
  const message = error !== null && isWrongFilter(error, state) ? `${sentence(error.message)} ${error.advice}` : "";
  at("where-problem").textContent = message;
  at("where").setAttribute("aria-invalid", String(message !== ""));
}

/** What to ask for: {path, members}, and `next`, which gives the same for the hits after an answer, or null. */
function request(state) {
  const where = expression(state);
  if (!state.q && !state.like) return listing(where, null);
  const members = { k: HITS, context: CONTEXT, ...(where ? { where } : {}), ...(state.group ? { group_by: state.group } : {}) };
  if (state.like) return { path: "v1/similar", members: { keys: [state.like], ...members }, next: () => null };
  Object.assign(members, { query: state.q, mode: state.mode, ...(state.rerank ? { rerank: "tokens" } : {}) });
  return searching(members);
}

const searching = (members) => ({
  path: "v1/search",
  members,
  next: (found) => (found.cursor === null ? null : searching({ ...members, cursor: found.cursor })),
});

const listing = (where, after) => ({
  path: withParameters("v1/records", { where, after, limit: BROWSED }),
  members: null,
  next: (found) => (found.after === null ? null : listing(where, found.after)),
});

/** A function that gives the explanation of a hit; all hits of a search are explained by one request, once. */
function explainer(asked, state, facts, signal, hits) {
  if (state.like && isExternal(facts)) return null;
  if (state.like) return (hit) => explainNeighbour(hit, state.like, signal);
  if (!state.q) return null;
  let promise = null;
  return async (hit) => {
    promise ??= ask("v1/explain-search", { ...asked.members, k: Math.max(hits, 1), context: 0 }, signal).then(
      (found) => new Map(found.report.explanations.map((each) => [each.key, each])),
    );
    promise.catch(() => (promise = null));
    return (await promise).get(hit.key);
  };
}

/** What each token of a neighbour adds to its cosine with the text that it is near to. */
async function explainNeighbour(hit, key, signal) {
  const { record } = await ask(withParameters("v1/record", { key }), null, signal);
  const { tokens } = await ask("v1/explain", { text: hit.text, against: record.text }, signal);
  return { standings: [], tokens, terms: [], pairs: [], notes: {} };
}

async function mark(shown, explain, signal) {
  for (const each of shown) {
    try {
      const explanation = await explain(each.hit);
      if (signal.aborted) return;
      if (explanation) each.mark(explanation);
    } catch {
      return; // the hits are shown all the same; opening one says what is wrong
    }
  }
  at("legend").hidden = document.querySelector("#hits mark") === null;
  at("legend-shaded").hidden = document.querySelector("#hits mark:not(.level-0)") === null;
  at("legend-found").hidden = document.querySelector("#hits mark.found") === null;
}

/** What there is to say about an answer, for eyes and for screen readers. */
function said(found, state, facts) {
  const count = (found.hits ?? found.records).length;
  if (facts?.records === 0 && count === 0) {
    return [
      element("span.empty", {}, "The index is empty. Add texts on the machine that serves it:"),
      element("code.command", {}, `vecindex add --index ${facts.path} notes.txt`),
      element("span", {}, "Come back to this page, and they are here."),
    ];
  }
  const narrowed = state.filters.length > 0 || state.where !== "";
  if (!state.q && !state.like) {
    if (count === 0) return ["No record matches the filters."];
    return [narrowed ? "The records that match the filters, in the order in which they were added." : `${facts ? counted(facts.records, "record") : "The records"}, in the order in which they were added. Type to search them.`];
  }
  if (count === 0) return [nothing(state, facts), narrowed ? " The filters may leave none." : ""];
  return [found.cursor ? `The best ${number(count)} hits.` : `${counted(count, "hit")}.`, ordered(state)];
}

function nothing(state, facts) {
  if (!state.q || state.mode !== "lexical") return "No record matches.";
  return `No record has a word of the query.${isExternal(facts) ? "" : " Search by meaning to find those that say it in other words."}`;
}

/** What hits are ordered by, where it is not what the bars show. */
function ordered(state) {
  if (!state.q) return "";
  if (state.rerank) return " Ordered by comparing their tokens as well; the bars show the cosine of the whole texts.";
  return state.mode === "hybrid" ? " Ordered by meaning and words together; the bars show the meaning alone, as a cosine." : "";
}
