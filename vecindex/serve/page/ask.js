// How the server is asked: requests, the token, errors, and that only the last of several answers counts.

const KEPT = "vecindex-token";

/** What went wrong: `status` is 0 if there was no answer. */
export class Problem extends Error {
  constructor(status, type, message, advice) {
    super(message);
    Object.assign(this, { status, type, advice });
  }
}

export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";
/** Whether the server may answer soon, without anything else being done. */
export const passes = (error) => error instanceof Problem && (error.status === 0 || error.type === "Starting" || error.type === "NotReady");

/** Keeps a token for this tab. What no header can have is replaced by a word that is no token, so it is refused. */
export function keepToken(typed) {
  const token = typed.trim();
  sessionStorage.setItem(KEPT, /^[!-~]+$/.test(token) ? token : "none");
}

/** The JSON that the server answers; throws Problem. `members` are sent as JSON; without them it is a GET. */
export async function ask(path, members = null, signal = undefined) {
  const headers = {};
  const token = sessionStorage.getItem(KEPT);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const options = { headers, signal, cache: "no-store", credentials: "omit" };
  if (members !== null) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(members) });
  }
  let answer, content;
  try {
    answer = await fetch(path, options);
    content = await answer.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    if (answer !== undefined) throw new Problem(answer.status, "NotJson", "The answer of the server cannot be read.", "Something between it and this page may have changed it.");
    throw new Problem(0, "NoAnswer", "The server does not answer.", "It may have been stopped. This page tries again by itself.");
  }
  if (answer.ok) return content;
  const { type, message, advice } = content.error ?? {};
  throw new Problem(answer.status, type ?? "Error", message ?? `The server answered with status ${answer.status}.`, advice ?? "");
}

/** The path with these parameters; those that are null or empty are left out. */
export function withParameters(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** Gives each piece of work a signal, which is aborted as soon as the next begins. */
export class Latest {
  #controller = null;

  begin() {
    this.#controller?.abort();
    this.#controller = new AbortController();
    return this.#controller.signal;
  }
}
