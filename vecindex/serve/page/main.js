// Puts the page together: the state is in the URL, and each view shows what it says.

import { Latest, Problem, ask, isAbort, keepToken, passes } from "./ask.js";
import { at, counted, element, sentence } from "./elements.js";
import { Explaining } from "./explaining.js";
import { showFacts } from "./facts.js";
import { Filters, toggled } from "./filters.js";
import { listen } from "./keys.js";
import { Searching } from "./searching.js";
import { isExternal, read, written } from "./state.js";

const AGAIN = 2_000;
const TITLES = { explain: "Explain · vecindex", index: "Index · vecindex" };

let state = read(location.hash);
let facts = null;
let again = 0;
const searchTab = document.querySelector("nav [data-view=search]"); // leads to the search that was shown last
const latestFacts = new Latest();
const searching = new Searching(problem, neighbours);
const filters = new Filters((field, value) => change({ filters: toggled(state.filters, field, value) }, show));
const explaining = new Explaining(at("explain"), (texts) => change(texts), problem);

/** Notes what is asked for in the URL; `then` shows it. `push` makes a step that the back button takes back. */
function change(members, then = null, push = false) {
  state = { ...state, ...members };
  history[push ? "pushState" : "replaceState"](null, "", written(state));
  if (then) then();
}

function show() {
  document.title = TITLES[state.view] ?? (state.q ? `${state.q} · vecindex` : "vecindex");
  for (const view of ["search", "explain", "index"]) {
    at(view).hidden = state.view !== view;
    const tab = document.querySelector(`nav [data-view=${view}]`);
    if (state.view === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (state.view === "search") searchTab.href = written({ ...state, text: "", against: "" });
  if (state.view === "search") showSearch();
  else if (state.view === "explain") explaining.show(state, facts);
  else glance(true);
}

function showSearch() {
  if (at("query").value !== state.q) at("query").value = state.q;
  if (at("where").value !== state.where) at("where").value = state.where;
  at("rerank").checked = state.rerank;
  at("group").value = state.group;
  document.querySelector(`[name=mode][value=${state.mode}]`).checked = true;
  at("rerank").disabled = state.mode === "lexical";
  showLike();
  searching.now(state, facts);
  filters.show(state);
}

async function showLike() {
  const key = state.like;
  at("like").hidden = !key;
  if (!key) return;
  const text = element("q", { dir: "auto" }, key);
  at("like").replaceChildren(element("span", {}, "Neighbours of ", text), element("button", { type: "button", onclick: () => history.back() }, "Back"));
  try {
    const { record } = await ask(`v1/record?${new URLSearchParams({ key })}`);
    text.replaceChildren(record.text.length > 160 ? `${record.text.slice(0, 160)}…` : record.text);
  } catch {
    // the search for its neighbours says what is wrong
  }
}

function neighbours(hit) {
  change({ like: hit.key, q: "" }, show, true);
  at("main").focus();
  scrollTo(0, 0);
}

/** Says what went wrong, and tries again by itself where that may help; null says that all is well. */
function problem(error) {
  clearTimeout(again);
  if (error !== null && !(error instanceof Problem)) throw error;
  at("problem").hidden = error === null;
  if (error === null) {
    health("ready");
    return;
  }
  if (error.status === 401) askToken();
  const waits = passes(error);
  health(error.status === 0 ? "gone" : error.type === "Starting" || error.type === "NotReady" ? "starting" : "ready");
  at("problem").replaceChildren(...(error.status === 401 ? noToken() : described(error)));
  if (waits) again = setTimeout(waitUntilReady, AGAIN);
}

function noToken() {
  return [element("strong", {}, "This server answers only those who have a token."), element("button", { type: "button", onclick: askToken }, "Enter a token")];
}

function described(error) {
  const mayPass = error.status === 0 || error.status >= 429; // what is wrong with a question stays wrong
  return [element("strong", {}, sentence(error.message)), ` ${error.advice}`, mayPass && element("button", { type: "button", onclick: start }, "Try again")].filter(Boolean);
}

async function waitUntilReady() {
  try {
    await ask("readyz");
    start();
  } catch (error) {
    if (error.status === 401) start();
    else again = setTimeout(waitUntilReady, AGAIN);
  }
}

const HEALTH = { gone: "no answer", starting: "starting" };

function health(what) {
  at("health").className = `health ${what}`;
  const text = HEALTH[what] ?? (facts ? counted(facts.records, "record") : "");
  if (at("health").textContent !== text) at("health").textContent = text;
}

function askToken() {
  const dialog = at("token-dialog");
  if (dialog.open) return;
  if (sessionStorage.getItem("vecindex-token")) at("token-why").textContent = "The server does not accept this token. Check it, and enter it again.";
  dialog.showModal();
}

/** The facts of the index, shown as a view if wanted. */
async function glance(shown) {
  const signal = latestFacts.begin();
  try {
    facts = shown ? await showFacts(at("index"), signal) : await ask("v1/info", null, signal);
    problem(null);
    modes();
  } catch (error) {
    if (!isAbort(error)) problem(error);
    throw error;
  }
}

/** An index of vectors that were made elsewhere has no model for texts: only words can be searched for. */
function modes() {
  const external = isExternal(facts);
  for (const input of document.querySelectorAll("[name=mode]")) input.disabled = external && input.value !== "lexical";
  if (external && state.mode !== "lexical") change({ mode: "lexical", rerank: false });
}

/** Shows what the URL asks for, once the facts are known. */
async function start() {
  filters.forget();
  try {
    await glance(false);
  } catch {
    return; // it is said, and tried again
  }
  show();
}

/** Looks whether the index has changed. Hits stay as they are, as someone may be reading them. */
async function refresh() {
  if (facts === null || state.view === "index" || !at("problem").hidden) return;
  const wasEmpty = facts.records === 0;
  try {
    await glance(false);
  } catch {
    return; // it is said, and tried again
  }
  filters.forget();
  if (wasEmpty && facts.records > 0) show();
}

function wire() {
  at("query").addEventListener("input", () => {
    change({ q: at("query").value.trim() ? at("query").value : "", like: "" });
    at("like").hidden = true;
    document.title = state.q ? `${state.q} · vecindex` : "vecindex";
    searching.soon(state, facts);
  });
  at("where").addEventListener("input", () => {
    change({ where: at("where").value });
    searching.soon(state, facts);
  });
  at("where").addEventListener("change", () => filters.show(state));
  at("asking").addEventListener("change", (event) => {
    if (event.target.name === "mode") change({ mode: event.target.value, rerank: event.target.value !== "lexical" && state.rerank }, show);
    if (event.target === at("rerank")) change({ rerank: at("rerank").checked }, show);
  });
  at("group").addEventListener("change", () => change({ group: at("group").value }, show));
  for (const form of [at("asking"), at("narrowing")]) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      searching.now(state, facts);
    });
  }
  at("token-form").addEventListener("submit", () => {
    keepToken(at("token").value);
    at("token").value = "";
    start();
  });
  at("skip").addEventListener("click", (event) => {
    event.preventDefault();
    at("main").focus();
  });
  addEventListener("focus", refresh); // someone may come back from adding records
  addEventListener("popstate", () => {
    state = read(location.hash);
    show();
  });
  listen({
    move: (by) => searching.move(by),
    searching: () => state.view === "search",
    toSearch: () => {
      if (state.view !== "search") change(read(searchTab.hash), show, true);
      at("query").focus();
      at("query").select();
    },
  });
  at("filters").open = matchMedia("(min-width: 56rem)").matches;
}

wire();
start();
if (state.view === "search" && matchMedia("(hover: hover)").matches) at("query").focus();
