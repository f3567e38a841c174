// The console: which page is shown, and what it is told.

import { h, text, attr, put, show } from "./dom.js";
import { Live } from "./live.js";
import { Overview, Journal } from "./overview.js";
import { Service } from "./service.js";
import { Gpus, Workers } from "./gpus.js";
import { reload } from "./actions.js";
import { signIn, signOut, whoami } from "./token.js";

const PAGES = [["#/", "Overview"], ["#/workers", "Workers"], ["#/gpus", "GPUs"], ["#/journal", "Journal"]];
const main = document.getElementById("page");
const live = document.getElementById("live");
const notes = document.getElementById("notes");

let page = null, first = true;

const source = new Live({
  state: (state) => draw(state),
  history: () => page?.samples(),
  detail: (detail) => page?.detail?.(detail),
  token: async () => {
    text(live, "○ a token is needed");
    known(await signIn());
    source.connect();
  },
  connection: (tone, words) => {
    attr(live, "class", `live ${tone}`);
    text(live, `${{ good: "●", off: "○" }[tone] ?? "✕"} ${words}`);
  },
});

const links = PAGES.map(([href, label]) => h("a", { href }, label));
document.getElementById("pages").append(...links);
document.getElementById("reload").addEventListener("click", () => { if (source.state) reload(source.state); });

/** Shows who is signed in, and to whom nothing is allowed no buttons for it. */
function known(who) {
  if (!who?.token) return;
  attr(document.documentElement, "data-role", who.role);
  put(document.getElementById("who"), h("button.quiet", { type: "button", onclick: signOut }, `Sign out ${who.token} (${who.role})`));
}

whoami().then(known, () => null);

function draw(state) {
  if (!page) return;
  if (!page.node.isConnected) put(main, page.node);
  page.update(state);
  const gateway = state.gateway_generation;
  const behind = gateway != null && state.generation - gateway > 0;
  const told = gateway == null ? "No gateway reports: load is not known." : null;
  show(notes, Boolean(told));
  if (told) text(notes, `▲ ${told}`);
  attr(document.documentElement, "data-behind", behind);
}

/** Shows what the address says. */
function go() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  const [kind, name, view = ""] = parts;
  page?.end();
  const service = kind === "services" && name ? name : null;
  page = service ? new Service(source, service, view) : kind === "workers" ? new Workers() : kind === "gpus" ? new Gpus() : kind === "journal" ? new Journal() : new Overview(source);
  for (const [place, link] of links.entries()) attr(link, "aria-current", !service && PAGES[place][0] === `#/${kind}` ? "page" : null);
  document.title = `${page.title()} · Penstock`;
  put(main, h("p.faint", {}, "Loading…"));
  source.watch(service);
  if (source.state) draw(source.state);
  page.samples();
  if (source.detail) page.detail?.(source.detail);
  // Whoever reads by ear is told that another page is there; at the first one the browser does.
  if (!first) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
  first = false;
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

addEventListener("hashchange", go);
// Ages grow by themselves.
setInterval(() => { if (page && source.state && !document.hidden) page.update(source.state); }, 5000);
go();
