// Tokens as columns: how much of the score each of them makes.

import { decimals, element } from "./elements.js";
import { isSpecial } from "./marks.js";

const MOST = 128;
const MANY = 40;

/** A list of tokens, of which the first are shown. `make` makes the item of a token; many can be scrolled. */
export function tokenList(tag, name, tokens, make) {
  const items = tokens.slice(0, MOST).map(make);
  const list = element(tag, { "aria-label": name, tabindex: items.length > MANY ? "0" : null }, items);
  if (tokens.length <= MOST) return [list];
  return [list, element("p.small", {}, `These are the first ${MOST} of ${tokens.length} tokens.`)];
}

/** A list of tokens, each with a column as high as its value; `name` says what the value is. */
export function columns(tokens, valueOf, name) {
  const values = tokens.map(valueOf);
  const most = Math.max(...values.map(Math.abs), 1e-9);
  return tokenList("ol.tokens", name, tokens, (each, place) => {
    const value = values[place];
    const filled = element("span");
    filled.style.height = `${(Math.abs(value) / most) * 100}%`;
    return element(
      `li${isSpecial(each.token) ? ".special" : ""}${value < 0 ? ".less" : ""}`,
      {},
      element("span.column", { "aria-hidden": "true" }, filled),
      element("span.token", {}, each.token),
      element("span.value", {}, decimals(value, 3)),
    );
  });
}
