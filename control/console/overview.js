// All deployments at a glance.

import { h, text, attr, show, keyed, put } from "./dom.js";
import { Chart, SPANS, setSpan, span } from "./chart.js";
import { asked } from "./token.js";
import { number, duration, range, tone, sign, stateWord, deployments, byName } from "./words.js";

const PAGE = 50;
const RANK = { bad: 0, warn: 1, busy: 2, good: 3, off: 4 };
const SORTS = {
  trouble: ["trouble first", (a, b) => RANK[tone(a.deployment.phase)] - RANK[tone(b.deployment.phase)]],
  name: ["name", () => 0],
  requests: ["requests", (a, b) => (b.deployment.rates?.requests ?? 0) - (a.deployment.rates?.requests ?? 0)],
  errors: ["errors", (a, b) => (b.deployment.rates?.errors ?? 0) - (a.deployment.rates?.errors ?? 0)],
  queued: ["queue", (a, b) => b.deployment.queued - a.deployment.queued],
  workers: ["workers", (a, b) => b.deployment.desired - a.deployment.desired],
};

/** What is wrong, the worst first: { tone, words, href }. */
export function troubles(state) {
  const found = [];
  if (state.config?.last_error) found.push({ tone: "bad", words: `The configuration was refused: ${state.config?.last_error}` });
  if (state.state_failure) found.push({ tone: "bad", words: state.state_failure });
  for (const certificate of state.config?.certificates ?? []) {
    if (certificate.warning) found.push({ tone: "warn", words: `Certificate ${certificate.file} (${certificate.names.join(", ")}) ${certificate.warning}` });
  }
  for (const { service, deployment } of deployments(state)) {
    const how = tone(deployment.phase);
    if (how !== "bad" && how !== "warn") continue;
    const why = deployment.troubles?.[0] ?? deployment.phase_reason ?? stateWord(deployment.phase);
    found.push({ tone: how, words: `${service.name}/${deployment.name}: ${why}`, href: `#/services/${service.name}` });
  }
  return found.sort((a, b) => RANK[a.tone] - RANK[b.tone]);
}

export function troubleList() {
  const list = h("ul.troubles", { "aria-label": "What is wrong" });
  const more = h("p.faint", { hidden: true });
  const node = h("div", {}, list, more);
  node.update = (found) => {
    keyed(list, found.slice(0, 4), (one) => one.words, (one) => h(`li.${one.tone}`, {}, h("span", { "aria-hidden": "true" }, one.tone === "bad" ? "✕ " : "▲ "),
      one.href ? h("a", { href: one.href }, one.words) : one.words));
    show(list, found.length > 0);
    show(more, found.length > 4);
    text(more, `and ${found.length - 4} more: sorted first in the list below`);
  };
  return node;
}

export function charts(kinds) {
  const made = {
    requests: () => new Chart({ title: "Requests per second", note: "Requests that ended, and those that got a server's error or were cut off", series: [
      { label: "all", colour: 0, kind: "area", value: (one) => one.requests / 2 },
      { label: "errors", colour: 1, kind: "line", value: (one) => one.errors / 2 }] }),
    load: () => new Chart({ title: "Requests now", series: [
      { label: "in flight", colour: 0, kind: "area", value: (one) => one.in_flight },
      { label: "queued", colour: 5, kind: "line", value: (one) => one.queued }] }),
    times: () => new Chart({ title: "Times (95 %)", unit: "seconds", note: "What 95 % of the waits for a worker are below, and of the times from getting one to the head of its answer", series: [
      { label: "first byte", colour: 2, kind: "line", value: (one) => one.first_byte_p95 },
      { label: "queue", colour: 5, kind: "line", value: (one) => one.wait_p95 }] }),
    workers: () => new Chart({ title: "Workers", series: [
      { label: "ready", colour: 2, kind: "area", value: (one) => one.ready },
      { label: "desired", colour: 4, kind: "step", value: (one) => one.desired }] }),
  };
  return kinds.map((kind) => made[kind]());
}

/** Chooses how far the charts reach back. */
export function spanPicker(drawn) {
  const select = h("select", { id: "span", onchange: () => { setSpan(Number(select.value)); drawn(); } }, SPANS.map((minutes) => h("option", { value: minutes, selected: minutes === span() }, `${minutes} min`)));
  return [h("label", { for: "span" }, "Last"), select];
}

/** The numbers at the top; those of what is not measured everywhere show only where they are. */
function figures(state) {
  const all = deployments(state);
  const sum = (of) => all.reduce((total, one) => total + (of(one.deployment, one.service) ?? 0), 0);
  const gpus = (state.gpus ?? []).flatMap((group) => group.devices);
  const told = (of) => all.some((one) => of(one.deployment) != null);
  const list = [
    ["Services", number(Object.keys(state.services).length), `${number(all.length)} ${all.length === 1 ? "deployment" : "deployments"}`],
    ["Workers ready", number(sum((one) => Object.values(one.workers).filter((worker) => worker.state === "ready").length)), `${number(sum((one) => one.desired))} desired`],
    ["In flight", number(sum((one) => one.in_flight))],
    ["Queued", number(sum((one) => one.queued))],
    ["Requests/s", number(sum((one) => one.rates?.requests))],
    ["Errors/s", number(sum((one) => one.rates?.errors))],
  ];
  if (gpus.length) list.push(["GPUs in use", gpus.filter((gpu) => gpu.state !== "free").length, `of ${gpus.length}`]);
  if (told(tokens)) list.push(["Tokens/s", number(sum(tokens))]);
  if (told(cost)) list.push(["Cost per hour", number(sum(cost)), `${number(sum((one) => one.cost?.today))} today, ${number(sum((one) => one.cost?.idle_today))} idle`]);
  return list;
}

const tokens = (one) => one.tokens?.output_per_second;
const cost = (one) => one.cost?.per_hour;

// Columns: name, class, what is shown. Those with `when` show only where something tells them.
const COLUMNS = [
  ["Workers", "workers", (one) => `${Object.values(one.workers).filter((worker) => worker.state === "ready").length} / ${one.desired}`, (one) => `of ${range(one.min, one.max)}`],
  ["In flight", "n", (one) => number(one.in_flight)],
  ["Queued", "n", (one) => number(one.queued)],
  ["Requests/s", "n", (one) => number(one.rates?.requests)],
  ["Errors/s", "n", (one) => number(one.rates?.errors)],
  ["First byte p95", "n", (one) => duration(one.rates?.first_byte)],
  ["Wait p95", "n", (one) => duration(one.rates?.wait)],
  ["Weight", "n low", (one) => one.weight],
];
const EXTRA = [["Tokens/s", tokens], ["Cost/h", cost]];

function row(item) {
  const state = h("span.pill"), link = h("a"), why = h("div.why");
  const cells = COLUMNS.map(([name, kind]) => h(`td.${kind.replace(" ", ".")}`, { "data-name": name }));
  const extra = EXTRA.map(([name]) => h("td.n", { "data-name": name }));
  const node = h("tr", {}, h("td.phase", {}, state), h("th", { scope: "row" }, link, why), cells, extra);
  node.update = ({ service, deployment }) => {
    pill(state, deployment.phase);
    text(link, `${service.name}/${deployment.name}`);
    attr(link, "href", `#/services/${encodeURIComponent(service.name)}`);
    const wrong = deployment.troubles?.[0] ?? deployment.phase_reason;
    text(why, wrong ?? deployment.reason_text);
    attr(why, "class", wrong ? "why wrong" : "why");
    COLUMNS.forEach(([name, , value, beside], place) => {
      text(cells[place], value(deployment));
      if (beside) attr(cells[place], "title", beside(deployment));
      if (name === "Queued") attr(cells[place], "class", deployment.queued ? "n warn" : "n");
      if (name === "Errors/s") attr(cells[place], "class", deployment.rates?.errors ? "n bad" : "n");
    });
    EXTRA.forEach(([, value], place) => {
      const told = value(deployment);
      show(extra[place], told != null || node.parentNode?.dataset[`extra${place}`] === "1");
      text(extra[place], number(told));
    });
  };
  return node;
}

export function pill(node, state) {
  attr(node, "class", `pill ${tone(state)}`);
  text(node, `${sign(state)} ${stateWord(state)}`);
}

export class Overview {
  constructor(live) {
    this.live = live;
    this.page = 0;
    this.numbers = h("dl.figures");
    this.wrong = troubleList();
    this.charts = charts(["requests", "times", "load", "workers"]);
    this.filter = h("input", { id: "filter", type: "search", autocomplete: "off", placeholder: "name, state, reason", oninput: () => { this.page = 0; this.rows(); } });
    this.sort = h("select", { id: "sort", onchange: () => { this.page = 0; this.rows(); } }, Object.entries(SORTS).map(([value, [label]]) => h("option", { value }, label)));
    this.body = h("tbody");
    this.head = h("tr", {}, h("th", { scope: "col" }, "State"), h("th", { scope: "col" }, "Deployment"), COLUMNS.map(([name]) => h("th.n", { scope: "col" }, name)));
    this.extraHeads = EXTRA.map(([name]) => h("th.n", { scope: "col", hidden: true }, name));
    this.head.append(...this.extraHeads);
    this.range = h("span", { "aria-live": "off" });
    this.back = h("button", { type: "button", onclick: () => { this.page -= 1; this.rows(); } }, "Previous");
    this.on = h("button", { type: "button", onclick: () => { this.page += 1; this.rows(); } }, "Next");
    this.none = h("p.faint", { hidden: true }, "Nothing matches.");
    this.node = h("div.overview", {}, h("h1.unseen", {}, "Overview"), this.numbers, this.wrong,
      h("div.tools.spans", {}, spanPicker(() => this.samples())),
      h("section.charts", { "aria-label": "Charts of everything" }, this.charts.map((chart) => chart.figure)),
      h("section", { "aria-labelledby": "deployments" },
        h("div.tools", {}, h("h2", { id: "deployments" }, "Deployments"),
          h("label", { for: "filter" }, "Filter"), this.filter, h("label", { for: "sort" }, "Sort by"), this.sort),
        h("div.wide", { role: "region", "aria-label": "Table: Deployments", tabindex: "0" }, h("table.deployments", {}, h("thead", {}, this.head), this.body)), this.none,
        h("nav.pager", { "aria-label": "Pages of the list" }, this.back, this.range, this.on)));
  }

  title() { return "Overview"; }

  update(state) {
    keyed(this.numbers, figures(state).map(([name, value, beside]) => ({ name, value, beside })), ({ name }) => name, ({ name }) => {
      const value = h("dd"), beside = h("dd.beside");
      const node = h("div", {}, h("dt", {}, name), value, beside);
      node.update = (one) => {
        text(value, one.value);
        text(beside, one.beside);
        attr(value, "class", one.value !== "0" && (name === "Errors/s" ? "bad" : name === "Queued" ? "warn" : null));
      };
      return node;
    });
    this.wrong.update(troubles(state));
    this.state = state;
    this.rows();
  }

  rows() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = ({ service, deployment }) => {
      if (!words.length) return true;
      const said = `${service.name}/${deployment.name} ${service.display_name} ${stateWord(deployment.phase)} ${deployment.phase_reason ?? ""} ${deployment.reason_text}`.toLowerCase();
      return words.every((word) => said.includes(word));
    };
    const order = SORTS[this.sort.value][1];
    const found = deployments(this.state).filter(matches)
      .sort((a, b) => order(a, b) || byName(a.service.name, b.service.name) || byName(a.deployment.name, b.deployment.name));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const shown = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    EXTRA.forEach(([, value], place) => {
      const told = shown.some(({ deployment }) => value(deployment) != null);
      this.body.dataset[`extra${place}`] = told ? "1" : "0";
      show(this.extraHeads[place], told);
    });
    keyed(this.body, shown, ({ service, deployment }) => `${service.name}/${deployment.name}`, row);
    show(this.none, !found.length);
    const first = this.page * PAGE + 1;
    text(this.range, found.length ? `${first}–${first + shown.length - 1} of ${found.length}` : "none");
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === pages - 1;
    show(this.back.parentNode, pages > 1);
  }

  samples() {
    const samples = this.live.history.get("") ?? [];
    for (const chart of this.charts) chart.update(samples, this.live.step);
  }

  end() { for (const chart of this.charts) chart.end(); }
}

/** Events of all services. */
export class Journal {
  constructor() {
    this.list = h("ol.journal");
    this.filter = h("input", { id: "journal-filter", type: "search", autocomplete: "off", oninput: () => this.draw() });
    this.wrong = h("p.wrong", { role: "alert", hidden: true });
    this.node = h("div", {}, h("div.tools", {}, h("h1", {}, "Journal"), h("label", { for: "journal-filter" }, "Filter"), this.filter), this.wrong, this.list);
    this.entries = [];
    this.look();
    this.timer = setInterval(() => { if (!document.hidden) this.look(); }, 3000);
  }

  title() { return "Journal"; }

  async look() {
    try {
      const answer = await asked("/api/v1/journal?limit=300");
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.detail);
      this.entries = told;
      show(this.wrong, false);
      this.draw();
    } catch (error) {
      put(this.wrong, "✕ The journal cannot be read: ", error.message);
      show(this.wrong, true);
    }
  }

  draw() {
    const words = this.filter.value.toLowerCase();
    entries(this.list, this.entries.filter((entry) => `${entry.service}/${entry.deployment} ${entry.kind} ${entry.text}`.toLowerCase().includes(words)), true);
  }

  update() {}
  samples() {}
  end() { clearInterval(this.timer); }
}

/** Draws journal entries. */
export function entries(list, all, named) {
  keyed(list, all, (entry) => `${entry.at_ms} ${entry.service}/${entry.deployment} ${entry.kind} ${entry.text}`, (entry) => {
    const time = h("time", { datetime: new Date(entry.at_ms).toISOString() }, new Date(entry.at_ms).toLocaleTimeString("en-GB"));
    const name = [named && entry.service, entry.deployment].filter(Boolean).join("/");
    return h("li", {}, time, " ", name ? h("span.of", {}, named ? h("a", { href: `#/services/${encodeURIComponent(entry.service)}` }, name) : name) : null, " ", h("span", {}, entry.text));
  });
}
