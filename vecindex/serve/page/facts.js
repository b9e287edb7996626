// The index at a glance: its facts, its sources, and whether the server is ready.

import { ask } from "./ask.js";
import { counted, element, link, number } from "./elements.js";
import { isExternal } from "./state.js";

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit ? value.toFixed(1) : value} ${UNITS[unit]}`;
}

export async function showFacts(section, signal) {
  const ready = ask("readyz", null, signal).then(() => "ready", (error) => error.message);
  const [facts, { sources }] = await Promise.all([ask("v1/info", null, signal), ask("v1/sources", null, signal)]);
  const state = await ready;
  if (signal.aborted) return facts;
  section.replaceChildren(
    element("h1", {}, "Index"),
    element("p.lead", {}, facts.records ? `${counted(facts.records, "record")} at ${facts.path}` : `The index at ${facts.path} is empty.`),
    ...(facts.records ? [] : [element("p", {}, "Add texts on the machine that serves it: ", element("code.command", {}, `vecindex add --index ${facts.path} notes.txt`))]),
    element("h2", {}, "State"),
    list([
      ["server", state],
      ["created", new Date(facts.created).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
      ["commits", number(facts.generation)],
      ["size", size(facts.bytes)],
      ["truncated", !facts.records || isExternal(facts) ? null : facts.truncated ? `${counted(facts.truncated, "text")}, of which the model did not read ${counted(facts.tokens_lost, "token")}` : "none: the model has read every text to its end"],
      ["not understood", facts.unknown ? `${counted(facts.unknown, "text")} of which the model knows no token` : null],
    ]),
    element("h2", {}, "Model"),
    facts.model === null
      ? element("p", {}, "The first text that is added decides the model.")
      : list([
          ["model", facts.model],
          ["vector", facts.dimension && `${number(facts.dimension)} numbers for each text`],
          ["made by", isExternal(facts) ? "another program, which gave them to this index" : facts.pooling && `${facts.pooling} over the vectors of its tokens`],
          ["reads", !facts.max_tokens ? null : `up to ${number(facts.max_tokens)} tokens of a text`],
          ["precision", facts.precision],
          ["runtime", facts.runtime],
          ["fingerprint", facts.fingerprint?.slice(0, 16)],
        ]),
    ...(facts.records ? [element("h2", {}, "Speed"), speed(facts)] : []),
    element("h2", {}, "Sources"),
    sources.length ? sourceTable(sources) : element("p", {}, "No record was read from a file."),
    element("p.small", {}, "For programs: ", element("a", { href: "openapi.json" }, "the OpenAPI of this server"), "."),
  );
  return facts;
}

function speed(facts) {
  return list([
    ["codes", facts.codes ?? "none: every vector is compared, which is exact"],
    ["fast filters", facts.indexed_fields.join(", ") || "none; see vecindex index-field"],
    ["token vectors", facts.token_vectors ?? "none: texts are read again to compare tokens; see vecindex index-tokens"],
  ]);
}

function list(rows) {
  const given = rows.filter(([, value]) => value !== null && value !== undefined);
  return element("dl.facts", {}, given.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

const MOST = 200;

function sourceTable(sources) {
  const rows = sources.slice(0, MOST).map((each) => element("tr", {}, element("th", { scope: "row" }, link(each.location)), element("td", {}, each.kind), element("td", {}, number(each.records)), element("td", {}, each.state)));
  const head = element("thead", {}, element("tr", {}, ["Source", "Kind", "Records", "State"].map((name) => element("th", { scope: "col" }, name))));
  const table = element("div.scrolled", { tabindex: "0", role: "region", "aria-label": "Sources" }, element("table.sources", {}, head, element("tbody", {}, rows)));
  return sources.length > MOST ? element("div", {}, table, element("p.small", {}, `These are ${MOST} of ${number(sources.length)}.`)) : table;
}
