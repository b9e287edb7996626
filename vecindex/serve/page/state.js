// What is asked for, and how it is written in the fragment of the URL, which is never sent to a server.

export const MODES = ["dense", "lexical", "hybrid"];
const EMPTY = { view: "search", q: "", like: "", mode: "dense", rerank: false, group: "", where: "", filters: [], text: "", against: "" };
const TEXTS = ["q", "like", "group", "where", "text", "against"];

export function read(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = { ...EMPTY };
  for (const name of TEXTS) state[name] = given.get(name) ?? "";
  if (["explain", "index"].includes(given.get("view"))) state.view = given.get("view");
  if (MODES.includes(given.get("mode"))) state.mode = given.get("mode");
  state.rerank = given.get("rerank") === "tokens";
  state.filters = given.getAll("filter").map(asFilter).filter(Boolean);
  return state;
}

function asFilter(text) {
  try {
    const filter = JSON.parse(text);
    const [field, value] = filter;
    return filter.length === 2 && typeof field === "string" && ["string", "number", "boolean"].includes(typeof value) ? filter : null;
  } catch {
    return null;
  }
}

export function written(state) {
  const given = new URLSearchParams();
  if (state.view !== "search") given.set("view", state.view);
  for (const name of TEXTS) if (state[name] !== "") given.set(name, state[name]);
  if (state.mode !== EMPTY.mode) given.set("mode", state.mode);
  if (state.rerank) given.set("rerank", "tokens");
  for (const filter of state.filters) given.append("filter", JSON.stringify(filter));
  return `#${given}`;
}

/** Whether the vectors were made elsewhere, so that no text can be encoded. */
export const isExternal = (facts) => facts?.precision === "external";

export const explainLink = (text, against) => `#${new URLSearchParams({ view: "explain", text, ...(against ? { against } : {}) })}`;
