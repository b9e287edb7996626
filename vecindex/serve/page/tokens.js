// Tokens as columns: how much of the score each of them makes.

import { decimals, element } from "./elements.js";
import { isSpecial } from "./marks.js";

const MOST = 128;

/** A list of tokens, each with a column as high as its value; `name` says what the value is. */
export function columns(tokens, valueOf, name) {
  const values = tokens.map(valueOf);
  const most = Math.max(...values.map(Math.abs), 1e-9);
  const shown = tokens.slice(0, MOST).map((each, place) => {
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
  const list = element("ol.tokens", { "aria-label": name }, shown);
  if (tokens.length <= MOST) return [list];
  return [list, element("p.small", {}, `These are the first ${MOST} of ${tokens.length} tokens.`)];
}
