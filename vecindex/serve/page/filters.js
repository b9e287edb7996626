// Filters: the fields of the index with their values to choose from, and what they are as an expression.

import { Latest, Problem, ask, isAbort, withParameters } from "./ask.js";
import { at, element, number } from "./elements.js";

const VALUES = 8;
const MORE_VALUES = 100;
const FIELDS = 8;
const PLACED = ["source", "document"];

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
const literal = (value) => (typeof value === "string" ? quoted(value) : String(value));
const isSimple = (value) => ["string", "number", "boolean"].includes(typeof value);

/** The filter of a state as the server takes it, or null; that of all fields but `except`. */
export function expression(state, except = null) {
  const fields = new Map();
  for (const [field, value] of state.filters) {
    if (field !== except) fields.set(field, [...(fields.get(field) ?? []), literal(value)]);
  }
  const conditions = [...fields].map(([field, values]) => (values.length === 1 ? `${field} = ${values[0]}` : `${field} in (${values.join(", ")})`));
  if (state.where.trim()) conditions.push(conditions.length ? `(${state.where})` : state.where);
  return conditions.join(" and ") || null;
}

/** The filters of a state, with this one if it was not among them, and without it if it was. */
export function toggled(filters, field, value) {
  const others = filters.filter(([name, other]) => name !== field || other !== value);
  return others.length < filters.length ? others : [...others, [field, value]];
}

/** Shows the fields. `toggle` is called with the field and the value that are chosen, or no longer. */
export class Filters {
  #latest = new Latest();
  #names = null;
  #wide = new Set();
  #most = FIELDS;
  #toggle;

  constructor(toggle) {
    this.#toggle = toggle;
  }

  /** Shows the values of each field with their counts, among the records that the filters on other fields select. */
  async show(state) {
    at("chosen").textContent = state.filters.length + (state.where ? 1 : 0) || "";
    const signal = this.#latest.begin();
    try {
      this.#names ??= (await ask("v1/fields")).fields;
      const names = [...PLACED.filter((name) => !this.#names.includes(name)), ...this.#names];
      const chosen = new Set(state.filters.map(([name]) => name));
      const counts = [];
      const useful = [];
      for (const field of names) {
        if (useful.length >= this.#most && !chosen.has(field)) continue;
        const found = await this.#counts(field, state, signal); // one at a time, as a search must not wait for all
        if (signal.aborted) return;
        if (isUseful(found, state) && !isSame(found, counts)) useful.push(found);
        counts.push(found);
      }
      const strange = [...chosen].filter((name) => !names.includes(name)).map((field) => ({ field, values: [], distinct: 0 }));
      const focused = document.activeElement?.dataset?.choice;
      at("fields").replaceChildren(...[...useful, ...strange].map((each) => this.#field(each, state)), this.#rest(names.length - counts.length, state));
      if (focused) at("fields").querySelector(`[data-choice="${CSS.escape(focused)}"]`)?.focus();
      groupings(counts.filter((each) => each.distinct > 1 && each.distinct < each.records), state);
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error; // of a Problem, the search says what is wrong
    }
  }

  /** Has the names of the fields read again, as the index has changed. */
  forget() {
    this.#names = null;
  }

  #counts(field, state, signal) {
    const top = this.#wide.has(field) ? MORE_VALUES : VALUES;
    return ask(withParameters("v1/facets", { field, top, where: expression(state, field) }), null, signal);
  }

  #field({ field, values, distinct }, state) {
    const chosen = state.filters.filter(([name]) => name === field).map(([, value]) => value);
    const counts = new Map(values.filter(({ value }) => isSimple(value)).map(({ value, count }) => [value, count]));
    for (const value of chosen) if (!counts.has(value)) counts.set(value, 0);
    const choices = [...counts].map(([value, count]) => this.#choice(field, value, count, chosen.includes(value)));
    const more = distinct > values.length && values.length < MORE_VALUES;
    const rest = more && element("button.quiet", { type: "button", onclick: () => this.#widen(field, state) }, `${number(distinct - values.length)} more`);
    return element("fieldset.field", {}, element("legend", {}, field), element("div.choices", {}, choices, rest));
  }

  #choice(field, value, count, isChosen) {
    const text = field === "source" ? String(value).split("/").at(-1) || String(value) : String(value);
    const attributes = { type: "button", "aria-pressed": String(isChosen), title: String(value), "data-choice": JSON.stringify([field, value]), onclick: () => this.#toggle(field, value) };
    return element("button.choice", attributes, element("span.value", {}, text.slice(0, 80) || "(empty)"), " ", element("span.count", {}, number(count)));
  }

  #rest(count, state) {
    if (count === 0) return "";
    const more = () => {
      this.#most += FIELDS;
      this.show(state);
    };
    return element("button.quiet.rest", { type: "button", "data-choice": "rest", onclick: more }, `${number(count)} more field${count === 1 ? "" : "s"}`);
  }

  #widen(field, state) {
    this.#wide.add(field);
    this.show(state);
  }
}

/** Not useful is a field with one value, or with another in each record, unless it is chosen from already. */
function isUseful({ field, values, distinct, records, missing }, state) {
  if (state.filters.some(([name]) => name === field)) return true;
  if (!values.some(({ value }) => isSimple(value))) return false;
  const inAll = distinct === 1 && missing === 0;
  const inOne = distinct === records - missing && distinct > VALUES;
  return !inAll && !inOne;
}

/** Whether a field says no more than the source: the documents, where each is a file. */
const isSame = ({ field, distinct }, [source]) => field === "document" && source?.field === "source" && distinct <= source.distinct;

/** What the hits can be grouped by. */
function groupings(counts, state) {
  const names = counts.map((each) => each.field);
  if (state.group && !names.includes(state.group)) names.push(state.group);
  at("grouping").hidden = !names.length;
  at("group").replaceChildren(element("option", { value: "" }, "record"), ...names.map((name) => element("option", { value: name }, name)));
  at("group").value = state.group;
}
