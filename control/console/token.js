// The token of who uses the page, where one is needed, and requests that carry it.
//
// It is kept for this tab alone, not in a cookie: browsers send cookies of a host to all of its ports, and on
// the same machine that would be the services too.

import { h, put, show } from "./dom.js";

const KEPT = "penstock-token";
let token = "";
try { token = sessionStorage.getItem(KEPT) ?? ""; } catch { /* Then it is asked for again. */ }

function keep(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(KEPT, value);
    else sessionStorage.removeItem(KEPT);
  } catch { /* The page has it as long as it lives. */ }
}

/** A request with the token, if there is one. */
export function asked(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("authorization", `Bearer ${token}`);
  return fetch(path, { ...options, headers });
}

/** A stream of server-sent events. EventSource cannot send a token. */
export class Events {
  constructor(path) {
    this.path = path;
    this.stop = new AbortController();
  }

  /** Calls `take(name, data)` for each event; ends with the stream, or with an error that has the `status` of an answer. */
  async read(take) {
    const answer = await asked(this.path, { signal: this.stop.signal, cache: "no-store" });
    if (!answer.ok) {
      const words = await answer.json().then((told) => told.detail, () => answer.statusText);
      throw Object.assign(new Error(words), { status: answer.status });
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.stop.signal.aborted) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (this.stop.signal.aborted) return;
        const fields = Object.fromEntries(event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
        if (fields.event) take(fields.event, fields.data);
      }
    }
  }

  close() {
    this.stop.abort();
  }
}

/** What the token allows: { token, role, services }; null without a token that counts. */
export async function whoami() {
  const answer = await asked("/api/v1/whoami");
  return answer.ok ? answer.json() : null;
}

/** Asks for a token until one counts. */
export function signIn() {
  return new Promise((resolve) => {
    const input = h("input", { id: "token", type: "password", autocomplete: "current-password", spellcheck: "false", "aria-describedby": "token-hint" });
    const wrong = h("p.wrong", { role: "alert", hidden: true });
    const fail = (words) => { put(wrong, "✕ ", words); show(wrong, true); input.select(); };
    const form = h("form", { method: "dialog", novalidate: true }, h("h2", { id: "sign-in" }, "A token is needed"),
      h("div.field", {}, h("label", { for: "token" }, "Token"), input, h("small", { id: "token-hint" }, "One of [admin.tokens] in the configuration; penstock token makes them. It is kept until this tab is closed.")),
      wrong, h("div.buttons", {}, h("button.primary", { type: "submit" }, "Sign in")));
    const dialog = h("dialog", { "aria-labelledby": "sign-in" }, form);
    // There is nothing to see behind it.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      keep(input.value.trim());
      try {
        const who = await whoami();
        if (who) { dialog.close(); dialog.remove(); resolve(who); return; }
        keep("");
        fail("No such token is known here.");
      } catch { fail("Penstock does not answer."); }
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}

/** Forgets the token. */
export function signOut() {
  keep("");
  location.reload();
}
