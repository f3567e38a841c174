// One service: how it is, why, and what can be done about it.

import { h, text, attr, show, keyed, put, section } from "./dom.js";
import { Logs } from "./logs.js";
import { TryIt } from "./tryit.js";
import { ask, at } from "./live.js";
import { charts, entries, pill, spanPicker } from "./overview.js";
import { workerTrouble } from "./gpus.js";
import { WhySlow, together } from "./slow.js";
import * as actions from "./actions.js";
import { number, duration, since, ago, range, stateWord, who, count, byName, clock } from "./words.js";

const VIEWS = [["", "Now"], ["requests", "Requests"], ["revisions", "Revisions"], ["journal", "Journal"], ["logs", "Logs"], ["try", "Try it"]];
const sorted = (things) => Object.values(things ?? {}).sort((a, b) => byName(a.name ?? String(a.slot), b.name ?? String(b.slot)));
const button = (label, onclick, kind) => h(kind ? `button.${kind}` : "button", { type: "button", onclick }, label);

export class Service {
  constructor(live, name, view) {
    Object.assign(this, { live, name, view });
    this.heading = h("span");
    this.pill = h("span.pill");
    this.about = h("p.faint");
    this.buttons = h("div.buttons", { role: "group", "aria-label": `Actions on ${name}` });
    const address = `#/services/${encodeURIComponent(name)}`;
    const tabs = h("nav.tabs", { "aria-label": `Parts of ${name}` }, VIEWS.map(([part, label]) =>
      h("a", { href: part ? `${address}/${part}` : address, "aria-current": part === view ? "page" : null }, label)));
    this.gone = h("p.wrong", { hidden: true, role: "alert" });
    this.body = h("div");
    this.node = h("div.service", {}, h("div.title", {}, h("h1", {}, this.heading, " ", this.pill), this.buttons), this.about, this.gone, tabs, this.body);
    this.part = { "": () => new Now(this), requests: () => new Requests(this), revisions: () => new Revisions(this), journal: () => new Journal(this), logs: () => new LogView(this), try: () => new Try(this) }[view]?.() ?? new Now(this);
    this.body.append(this.part.node);
  }

  title() { return this.name; }

  update(state) {
    const service = state.services[this.name];
    show(this.gone, !service);
    if (!service) {
      text(this.heading, this.name);
      text(this.gone, `There is no service ${this.name}.`);
      return;
    }
    this.service = service;
    const all = sorted(service.deployments);
    const worst = service.paused ? "paused" : all.map((one) => one.phase).sort((a, b) => badness(b) - badness(a))[0];
    text(this.heading, service.display_name === service.name ? service.name : `${service.name}: ${service.display_name}`);
    pill(this.pill, worst ?? "cold");
    text(this.about, [service.hosts.join(", "), ...(service.settings ?? []), service.removed ? "removed; it finishes what it has" : null].filter(Boolean).join(" · "));
    const wanted = [
      ["Weights…", all.length > 1, () => actions.weights(this.service)],
      ["Follow the file…", Boolean(service.by_hand), () => actions.followFile(this.service)],
      ["Roll back…", all.length > 1, () => actions.rollback(this.service)],
      ["Pause…", !service.paused, () => actions.pause(this.service)],
      ["Resume…", Boolean(service.paused), () => actions.resume(this.service)],
    ].filter(([, there]) => there).map(([label, , run]) => ({ label, run }));
    keyed(this.buttons, wanted, ({ label }) => label, ({ label, run }) => button(label, run));
    this.part.update?.(service, state);
  }

  detail(detail) { if (detail.name === this.name && !detail.problem) this.part.detail?.(detail, this.service); }
  samples() { this.part.samples?.(); }
  end() { this.part.end?.(); }
}

function badness(phase) {
  return { failed: 6, degraded: 5, waiting: 4, starting: 3, paused: 2, warm: 1 }[phase] ?? 0;
}

/** How it is now, and why. */
class Now {
  constructor(page) {
    this.page = page;
    this.notes = h("ul.troubles", { "aria-label": "What is worth knowing" });
    this.which = h("select", { id: "chart-of", onchange: () => this.samples() }, h("option", { value: "" }, "all deployments"));
    this.picker = h("span.tools", { hidden: true }, h("label", { for: "chart-of" }, "Charts of"), this.which);
    const tools = h("div.tools.spans", {}, this.picker, spanPicker(() => this.samples()));
    this.charts = charts(["requests", "times", "load", "workers"]);
    this.slow = new WhySlow();
    this.list = h("div");
    this.node = h("div", {}, this.notes, tools,
      h("section.charts", { "aria-label": "Charts" }, this.charts.map((chart) => chart.figure)), this.slow.node, this.list);
    this.marks = [];
  }

  update(service, state) {
    const all = sorted(service.deployments);
    const notes = [];
    if (service.paused) notes.push({ tone: "warn", words: `Paused ${ago(service.paused.since_ms)}${who(service.paused)}${service.paused.until_ms ? `; until ${clock(service.paused.until_ms)}` : ""}` });
    if (service.by_hand) notes.push({ tone: "note", words: `Weights were set by hand ${ago(service.by_hand.since_ms)}${who(service.by_hand)}${service.by_hand.file_changed ? "; the file's weights have changed since, which has no effect yet" : ""}` });
    if (service.mirror) notes.push({ tone: "note", words: `${service.mirror.percent} % of the requests are copied to ${service.mirror.to}: ${service.mirror.in_flight} in flight, ${number(service.mirror.sent)} sent, ${number(service.mirror.dropped)} dropped, ${number(service.mirror.different)} of ${number(service.mirror.compared)} compared differ` });
    for (const one of service.classes ?? []) if (one.queued) notes.push({ tone: "note", words: `${count(one.queued, "request")} of class ${one.name} wait` });
    keyed(this.notes, notes, (note) => note.words, (note) => h(`li.${note.tone}`, {}, h("span", { "aria-hidden": "true" }, note.tone === "warn" ? "▲ " : "• "), note.words));
    show(this.notes, notes.length > 0);
    show(this.picker, all.length > 1);
    if (this.which.options.length !== all.length + 1) {
      const chosen = this.which.value;
      put(this.which, h("option", { value: "" }, "all deployments"), all.map(({ name }) => h("option", { value: name, selected: name === chosen }, name)));
    }
    // Those that matter most first.
    const weighty = [...all].sort((a, b) => b.weight - a.weight);
    keyed(this.list, weighty, (one) => one.name, (one) => new Deployment(this.page, one).node);
    this.state = state;
  }

  detail(detail, service) {
    this.marks = detail.explain.flatMap((one) => one.journal.map((entry) => ({ ...entry, deployment: one.deployment })))
      .filter((entry) => entry.desired != null || /fail|exit|crash|roll|update|pause|resume/.test(entry.kind))
      .map((entry) => ({
        at: entry.at_ms, deployment: entry.deployment, tone: /fail|exit|crash/.test(entry.kind) ? "bad" : "",
        text: `${entry.deployment}: ${entry.text}`,
      }));
    this.slow.update(detail, service, this.which.value, this.page.live);
    for (const one of this.list.children) one.detail(detail);
    this.samples();
  }

  samples() {
    const { history, step } = this.page.live;
    const chosen = this.which.value;
    const samples = chosen ? history.get(chosen) ?? [] : together([...history.values()]);
    const marks = this.marks.filter((mark) => !chosen || mark.deployment === chosen);
    this.charts.forEach((chart, place) => chart.update(samples, step, place === 3 ? marks : marks.filter((mark) => mark.tone === "bad")));
  }

  end() { for (const chart of this.charts) chart.end(); }
}

/** One deployment of the service. */
class Deployment {
  constructor(page, one) {
    this.page = page;
    this.name = one.name;
    this.pill = h("span.pill");
    this.facts = h("p.facts");
    this.troubles = h("ul.troubles");
    this.buttons = h("div.buttons", { role: "group", "aria-label": `Actions on ${page.name}/${one.name}` });
    this.rollout = h("div.rollout", { hidden: true });
    this.why = h("ul.words");
    this.recent = h("p.faint");
    this.body = h("tbody");
    this.table = h("div.wide", { role: "region", "aria-label": `Table: Workers of ${one.name}`, tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "State"), h("th", { scope: "col" }, "Worker"),
      ["In flight", "Requests/s", "Errors", "First byte p95"].map((name) => h("th.n", { scope: "col" }, name)), h("th", { scope: "col" }, "GPUs"), h("th", { scope: "col" }, "Address"),
      ["Age", "Rev."].map((name) => h("th.n", { scope: "col" }, name)), h("th", { scope: "col" }, h("span.unseen", {}, "Actions")))), this.body));
    const id = `deployment-${one.name}`;
    this.node = h("section.card", { "aria-labelledby": id }, h("div.title", {}, h("h2", { id }, one.name, " ", this.pill), this.buttons), this.facts, this.troubles, this.rollout,
      h("h3", {}, "Why this many workers"), this.why, this.recent, this.table);
    this.node.update = (deployment) => this.update(deployment);
    this.node.detail = (detail) => this.detail(detail);
    this.workersRecent = {};
  }

  update(one) {
    this.one = one;
    const { service } = this.page;
    pill(this.pill, one.phase);
    const workers = sorted(one.workers);
    const ready = workers.filter((worker) => worker.state === "ready").length;
    const words = [`${ready} of ${one.desired} workers ready (${range(one.min, one.max)})`, `${one.in_flight} in flight`, `${one.queued} queued`, `weight ${one.weight}${one.weight !== one.file_weight ? ` (file: ${one.file_weight})` : ""}`];
    if (one.revision != null) words.push(`revision ${one.revision}${one.switched ? ", by hand" : ""}`);
    if (one.start_estimate != null) words.push(`a start takes ${duration(one.start_estimate)}`);
    if (one.restarts) words.push(`${count(one.restarts, "worker")} ended unasked${one.last_exit ? `, last ${ago(one.last_exit.at_ms)}` : ""}`);
    if (one.tokens?.output_per_second != null) words.push(`${number(one.tokens.output_per_second)} tokens/s (${number(one.tokens.input_per_second)} of prompts)`);
    if (one.cost?.per_hour != null) words.push(`costs ${number(one.cost.per_hour)} an hour, ${number(one.cost.today)} today, of which ${number(one.cost.idle_today)} idle`);
    if (one.overflow) words.push(`${number(one.overflow.taken)} requests (${number(one.overflow.percent)} %) taken from lower tiers`);
    text(this.facts, words.join(" · "));
    const told = [...(one.troubles ?? [])];
    if (one.phase_reason && !told.includes(one.phase_reason)) told.unshift(one.phase_reason);
    if (one.last_exit && one.phase !== "warm") told.push(`${one.last_exit.reason}, ${ago(one.last_exit.at_ms)}`);
    if (one.paused) told.push(`paused ${ago(one.paused.since_ms)}${who(one.paused)}${one.paused.until_ms ? `; until ${clock(one.paused.until_ms)}` : ""}`);
    if (one.scaled) told.push(`${count(one.scaled.value, "worker")}, set by hand ${ago(one.scaled.since_ms)}${who(one.scaled)}`);
    if (one.switched) told.push(`revision ${one.switched.value}, switched to by hand ${ago(one.switched.since_ms)}${who(one.switched)}`);
    if (one.update) told.push(one.update.words);
    const bad = one.phase === "failed" ? "bad" : ["degraded", "waiting"].includes(one.phase) ? "warn" : "note";
    keyed(this.troubles, told.map((words, place) => ({ words, tone: place < (one.troubles?.length ?? 0) || place === 0 ? bad : "note" })), ({ words }) => words, ({ words, tone }) =>
      h(`li.${tone}`, {}, h("span", { "aria-hidden": "true" }, { bad: "✕ ", warn: "▲ ", note: "• " }[tone]), words));
    show(this.troubles, told.length > 0);
    this.showRollout(one.rollout);
    const many = Object.keys(service.deployments).length > 1;
    const here = () => this.page.service, own = () => this.one;
    const managed = one.revision != null;
    const wanted = [
      ["Scale…", managed, () => actions.scale(here(), own())],
      ["By the rules…", Boolean(one.scaled), () => actions.scaleByRules(here(), own())],
      ["Restart…", managed && workers.length > 0, () => actions.restart(here(), own())],
      ["Switch…", managed && one.revision > 1, () => chooseRevision(here(), own())],
      ["To the file's revision…", Boolean(one.switched), () => actions.switchBack(here(), own())],
      ["Promote…", many, () => actions.promote(here(), own())],
      ["Pause rollout…", one.rollout?.state === "running", () => actions.rollout(here(), own(), "pause")],
      ["Resume rollout…", one.rollout?.state === "paused", () => actions.rollout(here(), own(), "resume")],
      ["Restart rollout…", ["rolled_back", "done"].includes(one.rollout?.state), () => actions.rollout(here(), own(), "restart")],
      ["Pause…", !one.paused, () => actions.pause(here(), own())],
      ["Resume…", Boolean(one.paused), () => actions.resume(here(), own())],
    ].filter(([, there]) => there).map(([label, , run]) => ({ label, run }));
    keyed(this.buttons, wanted, ({ label }) => label, ({ label, run }) => button(label, run));
    keyed(this.body, workers, (worker) => worker.id, (worker) => this.row(worker));
    show(this.table, workers.length > 0);
    if (!this.explained) this.explain([one.reason_text, ...one.wishes, ...one.clamps].filter(Boolean).map((words) => ["", words]));
  }

  showRollout(rollout) {
    show(this.rollout, Boolean(rollout));
    if (!rollout) return;
    const said = JSON.stringify(rollout);
    if (this.rolloutSaid === said) return;
    this.rolloutSaid = said;
    const steps = h("ol.steps", { "aria-label": "Steps of the rollout" }, rollout.steps.map((share, place) => {
      const how = place < rollout.taken ? "taken" : place === rollout.taken && rollout.state === "running" ? "current" : "next";
      return h(`li.${how}`, {}, h("span", { "aria-hidden": "true" }, how === "taken" ? "✓ " : how === "current" ? "◐ " : "○ "), `${share} %`, h("span.unseen", {}, ` ${how}`));
    }));
    put(this.rollout, h("h3", {}, `Rollout: ${stateWord(rollout.state)}`), steps,
      h("p", {}, `It has earned ${rollout.share} % of the traffic, since ${clock(rollout.since_ms)}.`, rollout.why ? ` ${rollout.why}` : ""),
      rollout.seen ? h("p.faint", {}, `Evidence: ${rollout.seen}`) : null);
  }

  row(worker) {
    const state = h("span.pill"), why = h("div.why"), cells = ["n", "n", "n", "n", "", "", "n", "n"].map((kind) => h(kind ? `td.${kind}` : "td"));
    const act = button("Drain…", () => actions.drain(this.page.service, this.one, this.one.workers[worker.id] ?? worker), "quiet");
    attr(act, "aria-label", `Drain worker ${worker.slot}…`);
    const node = h("tr", {}, h("td", {}, state), h("th", { scope: "row" }, `#${worker.slot}`, why), cells, h("td", {}, act));
    node.update = (worker) => {
      pill(state, worker.state);
      text(why, workerTrouble(worker));
      attr(why, "class", worker.ejected || worker.probe_failure ? "why wrong" : "why");
      const recent = this.workersRecent[worker.id];
      [worker.in_flight, number(recent?.requests_per_second), recent ? recent.errors : "–", duration(recent?.first_byte?.p95), (worker.gpus ?? []).join(", ") || "–", worker.address ?? "–", since(worker.since_ms), worker.revision ?? "–"]
        .forEach((value, place) => text(cells[place], value));
      show(act, this.one?.revision != null && ["ready", "not_ready", "starting"].includes(worker.state));
    };
    return node;
  }

  detail(detail) {
    const told = detail.recent[this.name];
    this.workersRecent = told?.workers ?? {};
    const recent = told?.recent;
    text(this.recent, recent?.requests ? `In the last ${duration(recent.seconds)}: ${number(recent.requests)} ${recent.requests === 1 ? "request" : "requests"}, ${recent.errors} with an error, ${recent.clients_left} left by the client; first byte ${percentiles(recent.first_byte)}, whole answer ${percentiles(recent.whole)}.` : "No request ended in the last minute.");
    const explained = detail.explain.find((one) => one.deployment === this.name)?.present;
    if (!explained) return;
    this.explained = true;
    this.explain([["", explained.reason_text], ...(explained.by_hand ?? []).map((words) => ["By hand", words]),
      ...(explained.advice ? [["Advice", `${count(explained.advice.workers, "worker")}: ${explained.advice.reason_text}`]] : []),
      ...explained.wishes.map((wish) => [wish.won ? "Rule that counts" : "Rule", wish.words]), ...explained.clamps.map((clamp) => ["Limit", clamp.words]),
      ...explained.plan.map((step) => ["Under way", step.words]), ...explained.next.map((next) => ["Next", next.words])]);
  }

  explain(lines) {
    keyed(this.why, lines.map(([label, words]) => ({ label, words })), ({ label, words }) => `${label} ${words}`, ({ label, words }) => h("li", {}, label ? h("b", {}, `${label}: `) : null, words));
  }
}

const percentiles = (told) => told ? `${duration(told.p50)} (95 %: ${duration(told.p95)})` : "–";

async function chooseRevision(service, deployment) {
  const told = await ask("GET", at(service.name, "revisions")).catch((error) => ({ error }));
  const own = told.deployments?.find((one) => one.name === deployment.name);
  actions.switchTo(service, deployment, own?.revisions ?? []);
}

/** Requests that are open. */
class Requests {
  constructor() {
    this.summary = h("p");
    this.body = h("tbody");
    this.node = section("Requests in flight", this.summary, h("div.wide", { role: "region", "aria-label": "Table: Requests in flight", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {},
      h("th.n", { scope: "col" }, "Age"), ["Waits for", "Request", "Deployment", "Client", "Id"].map((name) => h("th", { scope: "col" }, name)))), this.body)));
  }

  detail({ requests }) {
    text(this.summary, requests.open ? `${count(requests.open, "request is", "requests are")} open${requests.open > requests.oldest.length ? `; the ${requests.oldest.length} oldest:` : ", oldest first:"}` : "No request is open.");
    keyed(this.body, requests.oldest, (one) => one.id, (one) => {
      const cells = [h("td.n"), h("td"), h("td"), h("td"), h("td"), h("td.id")];
      const node = h("tr", {}, cells);
      node.update = (one) => [duration(one.age), `${stateWord(one.stage)}, ${duration(one.in_stage)}`, `${one.method} ${one.path}`, one.worker == null ? one.deployment : `${one.deployment}#${one.worker}`, one.client, one.id]
        .forEach((value, place) => text(cells[place], value));
      return node;
    });
  }
}

/** Revisions of every deployment. */
class Revisions {
  constructor(page) {
    this.page = page;
    this.wrong = h("p.wrong", { role: "alert", hidden: true });
    this.list = h("div");
    this.node = h("div", {}, this.wrong, this.list);
  }

  /** Looks again when something changed. */
  async update(service) {
    const said = JSON.stringify(sorted(service.deployments).map((one) => [one.revision, one.switched, one.update?.state, sorted(one.workers).map((worker) => worker.revision)]));
    if (said === this.said) return;
    this.said = said;
    try {
      const told = await ask("GET", at(service.name, "revisions"));
      show(this.wrong, false);
      put(this.list, told.deployments.map((one) => this.deployment(one)));
    } catch (error) {
      put(this.wrong, "✕ ", error.message);
      show(this.wrong, true);
      this.said = null;
    }
  }

  deployment(one) {
    const back = one.switched ? button("To the file's revision…", () => actions.switchBack(this.page.service, this.page.service.deployments[one.name], one.of_file)) : null;
    if (!one.revisions.length) return section(one.name, h("p.faint", {}, "Its workers are given by address: they have no revisions."));
    return section(one.name, one.update ? h("p", {}, one.update.words) : null, back, h("div.wide", { role: "region", "aria-label": `Table: Revisions of ${one.name}`, tabindex: "0" }, h("table.revisions", {}, h("thead", {}, h("tr", {},
      ["Revision", "Came", "By", "What is different", "Workers", ""].map((name) => h("th", { scope: "col" }, name || h("span.unseen", {}, "Actions"))))),
      h("tbody", {}, one.revisions.map((revision) => h("tr", {}, h("th", { scope: "row" }, `${revision.number}${revision.in_force ? " ● in force" : ""}${revision.number === one.of_file ? " (file)" : ""}`),
        h("td", {}, `${clock(revision.at_ms)}, ${revision.via}`), h("td", {}, [revision.by, revision.reason].filter(Boolean).join(": ") || "–"),
        h("td", {}, revision.difference.join("; ") || "–"), h("td", {}, revision.workers),
        h("td", {}, revision.in_force ? null : button("Switch…", () => actions.switchTo(this.page.service, this.page.service.deployments[one.name], one.revisions, revision.number), "quiet"))))))));
  }
}

class Journal {
  constructor() {
    this.list = h("ol.journal");
    this.node = section("Journal", this.list);
  }

  detail(detail) { entries(this.list, detail.journal, false); }
}

class LogView {
  constructor(page) {
    this.logs = new Logs(page.name);
    this.node = this.logs.node;
  }

  update(service) { this.logs.deployments(Object.keys(service.deployments).sort(byName)); }
  end() { this.logs.end(); }
}

class Try {
  constructor(page) {
    this.page = page;
    this.node = h("div");
  }

  update(service, state) {
    if (this.tryIt) return;
    this.tryIt = new TryIt(service.name, state);
    this.node.append(this.tryIt.node);
  }

  end() { this.tryIt?.end(); }
}
