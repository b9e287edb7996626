// The keyboard: which key does what, and where.

import { at } from "./elements.js";

const TYPED_INTO = "input[type=search], input[type=text], input[type=password], textarea, select";

/** Listens to keys. `move` gets 1 or -1; `searching` says whether the search is shown; `toSearch` shows it. */
export function listen({ move, searching, toSearch }) {
  const showKeys = () => at("keys").open || at("keys").showModal();
  at("show-keys").addEventListener("click", showKeys);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const target = event.target;
    const typing = target.matches?.(TYPED_INTO);
    const done = typing ? inField(event.key, target) : outside(event.key, target);
    if (done) event.preventDefault();
  });

  function inField(key, target) {
    if (target !== at("query")) return key === "Escape" && (target.blur(), true);
    if (key === "ArrowDown") return (move(1), true);
    return false;
  }

  function outside(key, target) {
    if (key === "/") return (toSearch(), true);
    if (key === "?") return (showKeys(), true);
    if (!searching() || target.closest?.(".filters, .modes")) return false;
    if (key === "ArrowDown" || key === "j") return (move(1), true);
    if (key === "ArrowUp" || key === "k") return (move(-1), true);
    const hit = target.closest?.("article.hit");
    if (key === "Escape") return (leave(hit), true);
    if (hit && key === "n") return (hit.neighbours(), true);
    if (hit?.explainLink && key === "e") return ((location.hash = hit.explainLink), true);
    return false;
  }

  function leave(hit) {
    const button = hit?.querySelector("button.open[aria-expanded=true]");
    if (!button) return at("query").focus();
    button.click();
    button.focus();
  }
}
