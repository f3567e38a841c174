// What an action will do is said before it is done.

import { h, put, say, show } from "./dom.js";

/**
 * Asks before something is done. `preview(values)` says what it will do: { words, rows: [[name, before, after]],
 * warning, force, path, method, body }, or throws what is wrong. `fields` are { name, label, kind, value, options, hint }.
 */
export function confirm({ title, fields = [], action, preview, done }) {
  const back = document.activeElement;
  const inputs = new Map();
  const form = h("form", { method: "dialog", novalidate: true });
  const heading = h("h2", { id: "dialog-title" }, title);
  const rows = fields.map((field) => {
    const id = `field-${field.name}`;
    const common = { id, name: field.name, "aria-describedby": field.hint ? `${id}-hint` : null };
    let input;
    if (field.kind === "choice") {
      input = h("select", common, field.options.map(([value, label]) => h("option", { value, selected: value === field.value }, label)));
    } else {
      input = h("input", { ...common, type: field.kind ?? "text", value: field.value ?? "", min: field.min, max: field.max, maxlength: field.kind ? null : 400, autocomplete: "off" });
    }
    inputs.set(field.name, input);
    return h("div.field", {}, h("label", { for: id }, field.label), input, field.hint && h("small", { id: `${id}-hint` }, field.hint));
  });
  const by = h("input", { id: "field-by", name: "by", autocomplete: "username", maxlength: 200, value: remembered() });
  const reason = h("input", { id: "field-reason", name: "reason", maxlength: 400, autocomplete: "off" });
  const what = h("div.preview", { role: "status" });
  const wrong = h("p.wrong", { role: "alert", hidden: true });
  const force = h("input", { type: "checkbox", id: "field-force" });
  const forced = h("p.force", { hidden: true }, force, " ", h("label", { for: "field-force" }, "Do it all the same"));
  const go = h("button.primary", { type: "submit" }, action);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.append(heading, ...rows, what,
    h("div.who", {}, h("div.field", {}, h("label", { for: "field-reason" }, "Reason"), reason),
      h("div.field", {}, h("label", { for: "field-by" }, "Your name"), by)),
    forced, wrong,
    h("div.buttons", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  const values = () => Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()]));
  let plan = null, turn = 0;
  const look = async () => {
    const mine = ++turn;
    go.disabled = true;
    try {
      const told = await preview(values());
      if (mine !== turn) return;
      plan = told;
      put(what, h("p", {}, told.words),
        told.rows?.length ? h("table.difference", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "What"), h("th", { scope: "col" }, "Now"), h("th", { scope: "col" }, "Then"))),
          h("tbody", {}, told.rows.map(([name, before, after]) => h(String(before) === String(after) ? "tr" : "tr.changes", {},
            h("th", { scope: "row" }, name), h("td", {}, before), h("td", {}, after))))) : null,
        told.warning ? h("p.warning", {}, "▲ ", told.warning) : null);
      show(forced, Boolean(told.force));
      show(wrong, false);
      go.disabled = Boolean(told.force) && !force.checked;
    } catch (error) {
      if (mine !== turn) return;
      plan = null;
      put(what);
      show(forced, false);
      fail(error.message);
    }
  };
  const fail = (words) => { put(wrong, "✕ ", words); show(wrong, true); };
  force.addEventListener("change", () => { go.disabled = Boolean(plan?.force) && !force.checked; });
  for (const input of inputs.values()) input.addEventListener("input", look);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!plan || go.disabled) return;
    go.disabled = true;
    remember(by.value.trim());
    try {
      const told = await plan.run({ by: by.value.trim() || undefined, reason: reason.value.trim() || undefined, force: force.checked || undefined });
      dialog.close();
      const words = done?.(told) ?? `${title}: done.`;
      toast(words);
    } catch (error) {
      fail(error.message);
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => { dialog.remove(); if (back?.isConnected) back.focus(); else document.getElementById("page").focus(); });
  document.body.append(dialog);
  dialog.showModal();
  (inputs.values().next().value ?? reason).focus();
  look();
  return dialog;
}

function remembered() {
  try { return localStorage.getItem("penstock-name") ?? ""; } catch { return ""; }
}

function remember(name) {
  // A browser may forbid it; then the name is asked for again.
  try { localStorage.setItem("penstock-name", name); } catch { /* nothing to do */ }
}

/** Says what was done, for those who see and those who do not. */
export function toast(words) {
  document.querySelector(".toast")?.remove();
  const note = h("div.toast", {}, "✓ ", words, " ", h("button.quiet", { type: "button", onclick: () => note.remove() }, "Close"));
  document.body.append(note);
  say(words);
  setTimeout(() => note.remove(), 10000);
}
