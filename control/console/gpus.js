// Workers and GPUs: who has what.

import { h, text, attr, show, keyed } from "./dom.js";
import { pill } from "./overview.js";
import { since, number, deployments, byName, stateWord, tone } from "./words.js";

const PAGE = 100;

export class Gpus {
  constructor() {
    this.groups = h("div");
    this.none = h("p.faint", { hidden: true }, "No GPUs are known: there is no [gpus] in the configuration, and none were found on this machine.");
    this.node = h("div", {}, h("h1", {}, "GPUs"), this.none, this.groups);
  }

  title() { return "GPUs"; }

  update(state) {
    const groups = state.gpus ?? [];
    show(this.none, groups.length === 0);
    keyed(this.groups, groups, (group) => group.name, (group) => {
      const title = h("h2"), about = h("p.faint"), cards = h("ul.gpus");
      const node = h("section", { "aria-label": `GPU group ${group.name}` }, title, about, cards);
      node.update = (group) => {
        const free = group.devices.filter((gpu) => gpu.state === "free").length;
        text(title, group.kind ? `${group.name}: ${group.kind}` : group.name);
        text(about, [`${group.devices.length - free} in use, ${free} free`,
          group.reserved_for?.length ? `only for ${group.reserved_for.join(", ")}` : null,
          group.price_per_hour != null ? `${number(group.price_per_hour)} per hour each` : null].filter(Boolean).join(" · "));
        keyed(cards, group.devices, (gpu) => gpu.name, card);
      };
      return node;
    });
  }

  samples() {}
  end() {}
}

function card(gpu) {
  const state = h("span.pill"), worker = h("a"), promised = h("small");
  const node = h("li", {}, h("b", {}, gpu.name), state, worker, promised);
  node.update = (gpu) => {
    pill(state, gpu.state);
    text(worker, gpu.worker);
    attr(worker, "href", gpu.worker ? `#/services/${encodeURIComponent(gpu.worker.split("/")[0])}` : null);
    text(promised, gpu.promised_to ? `promised to ${gpu.promised_to}` : "");
    attr(node, "class", tone(gpu.state));
  };
  return node;
}

export class Workers {
  constructor() {
    this.page = 0;
    this.filter = h("input", { id: "worker-filter", type: "search", autocomplete: "off", placeholder: "name, state, GPU, address", oninput: () => { this.page = 0; this.draw(); } });
    this.body = h("tbody");
    this.range = h("span");
    this.back = h("button", { type: "button", onclick: () => { this.page -= 1; this.draw(); } }, "Previous");
    this.on = h("button", { type: "button", onclick: () => { this.page += 1; this.draw(); } }, "Next");
    this.summary = h("p.faint");
    this.node = h("div", {}, h("div.tools", {}, h("h1", {}, "Workers"), h("label", { for: "worker-filter" }, "Filter"), this.filter), this.summary,
      h("div.wide", { role: "region", "aria-label": "Table: Workers", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {},
        ["State", "Worker", "In flight", "GPUs", "Address", "Age", "Revision"].map((name) => h("th", { scope: "col", class: ["In flight", "Age", "Revision"].includes(name) ? "n" : null }, name)))), this.body)),
      h("nav.pager", { "aria-label": "Pages of the list" }, this.back, this.range, this.on));
  }

  title() { return "Workers"; }

  update(state) {
    this.state = state;
    this.draw();
  }

  draw() {
    const words = this.filter.value.toLowerCase();
    const all = deployments(this.state).flatMap(({ service, deployment }) =>
      Object.values(deployment.workers).map((worker) => ({ service, worker, name: `${service.name}/${deployment.name}#${worker.slot}` })));
    const states = new Map();
    for (const { worker } of all) states.set(worker.state, (states.get(worker.state) ?? 0) + 1);
    text(this.summary, [...states].map(([state, many]) => `${many} ${stateWord(state)}`).join(" · ") || "There are no workers.");
    const found = all.filter(({ worker, name }) => `${name} ${stateWord(worker.state)} ${worker.address ?? ""} ${(worker.gpus ?? []).join(" ")}`.toLowerCase().includes(words))
      .sort((a, b) => byName(a.name, b.name));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const shown = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    keyed(this.body, shown, ({ worker }) => worker.id, ({ service, name }) => {
      const state = h("span.pill"), why = h("div.why.wrong"), cells = ["n", "", "", "n", "n"].map((kind) => h(kind ? `td.${kind}` : "td"));
      const node = h("tr", {}, h("td", {}, state), h("th", { scope: "row" }, h("a", { href: `#/services/${encodeURIComponent(service.name)}` }, name), why), cells);
      node.update = ({ worker }) => {
        pill(state, worker.state);
        text(why, workerTrouble(worker));
        [worker.in_flight, (worker.gpus ?? []).join(", ") || "–", worker.address ?? "–", since(worker.since_ms), worker.revision ?? "–"].forEach((value, place) => text(cells[place], value));
      };
      return node;
    });
    const first = this.page * PAGE + 1;
    text(this.range, found.length ? `${first}–${first + shown.length - 1} of ${found.length}` : "none");
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === pages - 1;
    show(this.back.parentNode, pages > 1);
  }

  samples() {}
  end() {}
}

/** What is wrong with a worker, or worth knowing of it. */
export function workerTrouble(worker) {
  return [worker.ejected ? "gets no requests for a while because of how it answered" : null,
    worker.probe_failure, worker.metrics_failure, worker.outdated ? "runs an older revision" : null, worker.progress].filter(Boolean).join("; ");
}
