// How elements are made: every text becomes a text node, so none is ever read as HTML.

export const at = (id) => document.getElementById(id);

/** An element; `attributes` are set as attributes, but `on…` are listeners. Strings and numbers become text nodes. */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A bar that is filled to a `share` from 0 to 1. It says nothing that is not also written beside it. */
export function bar(share) {
  const made = element("span.bar", { "aria-hidden": "true" }, element("span"));
  made.firstChild.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return made;
}

/** A link to http or https; anything else, such as file: or javascript:, is a text. */
export function link(text) {
  let url = null;
  try {
    url = new URL(text);
  } catch {
    // not a URL
  }
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return element("span", {}, text);
  return element("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, text);
}

/** A message as a sentence; what begins with a name, such as that of a model, stays as it is. */
export function sentence(message) {
  const begun = /^[a-z]+[ ,]/.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
  return begun.replace(/\.?$/, ".");
}

const whole = new Intl.NumberFormat("en");
export const number = (value) => whole.format(value);
export const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
export const decimals = (value, places) => value.toFixed(places).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
