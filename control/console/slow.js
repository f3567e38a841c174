// Where the time of a service's requests goes.

import { h, text, attr, section } from "./dom.js";
import { duration, count } from "./words.js";

const STAGES = [["wake", "Wake", "waits while no worker is ready"], ["queue", "Queue", "waits while all workers are busy"],
  ["connect", "Connect", "connecting to the worker"], ["first_byte", "Worker", "from getting a worker to the first byte"], ["stream", "Stream", "the rest of the answer"]];

/** Samples of several deployments as one: counts add up, of times the longest counts. */
export function together(all) {
  if (all.length === 1) return all[0];
  const ticks = new Map();
  for (const sample of all.flat()) {
    const sum = ticks.get(sample.tick);
    if (!sum) { ticks.set(sample.tick, { ...sample }); continue; }
    for (const [name, value] of Object.entries(sample)) {
      if (name === "tick" || value == null) continue;
      const longest = name.endsWith("_p95") || name.endsWith("_p50");
      sum[name] = longest ? Math.max(sum[name] ?? 0, value) : sum[name] + value;
    }
  }
  return [...ticks.values()].sort((a, b) => a.tick - b.tick);
}

/** Where the time of requests goes. */
export class WhySlow {
  constructor() {
    this.rows = STAGES.map(([stage, name, words]) => {
      const cells = Array.from({ length: 4 }, () => h("td.n", {}, "–"));
      return { stage, cells, node: h("tr", {}, h("th", { scope: "row" }, name, h("div.why", {}, words)), cells) };
    });
    this.verdict = h("p");
    this.node = section("Where time goes", this.verdict,
      h("div.wide", { role: "region", "aria-label": "Table: Where time goes", tabindex: "0" }, h("table.slow", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Part of a request"),
        ["There now", "Longest there", "Usual, last minute", "95th percentile"].map((name) => h("th.n", { scope: "col" }, name)))), h("tbody", {}, this.rows.map((row) => row.node)))),
      h("p.faint.small", {}, "Connecting is measured for requests that are there now; of those that are over it is a part of Worker, and stands in the access log. Percentiles are those of the deployment with the longest."));
  }

  update(detail, service, chosen, live) {
    const open = detail.requests.oldest.filter((one) => !chosen || one.deployment === chosen);
    const stages = new Map(STAGES.map(([stage]) => [stage, { many: 0, longest: 0 }]));
    for (const request of open) {
      const deployment = service?.deployments[request.deployment];
      const awake = Object.values(deployment?.workers ?? {}).some((worker) => worker.state === "ready");
      const stage = stages.get(request.stage === "queue" && !awake ? "wake" : request.stage === "tunnel" ? "stream" : request.stage);
      if (!stage) continue;
      stage.many += 1;
      stage.longest = Math.max(stage.longest, request.in_stage);
    }
    const samples = (chosen ? live.history.get(chosen) ?? [] : together([...live.history.values()])).slice(-30);
    const middle = (of) => { const values = samples.map(of).filter((value) => value != null).sort((a, b) => a - b); return values[values.length >> 1] ?? null; };
    const starts = Object.values(service?.deployments ?? {}).filter((one) => !chosen || one.name === chosen).map((one) => one.start_estimate).filter((one) => one != null);
    const first = middle((one) => one.first_byte_p50), whole = middle((one) => one.whole_p50);
    const usual = { wake: starts.length ? Math.max(...starts) : null, queue: null, connect: null, first_byte: first, stream: first != null && whole != null ? Math.max(0, whole - first) : null };
    const high = { queue: middle((one) => one.wait_p95), first_byte: middle((one) => one.first_byte_p95) };
    for (const { stage, cells } of this.rows) {
      const { many, longest } = stages.get(stage);
      text(cells[0], many);
      text(cells[1], many ? duration(longest) : "–");
      text(cells[2], duration(usual[stage]));
      text(cells[3], duration(high[stage]));
      attr(cells[0].parentNode, "class", many && longest > 10 && stage !== "stream" ? "warn" : null);
    }
    const most = STAGES.filter(([stage]) => stages.get(stage).many).sort((a, b) => stages.get(b[0]).longest - stages.get(a[0]).longest)[0];
    text(this.verdict, !most ? "No request is open." : `${count(detail.requests.open, "request is", "requests are")} open${detail.requests.open > open.length && !chosen ? `; the ${open.length} oldest are counted here` : ""}. The longest wait is in ${most[1].toLowerCase()}: ${duration(stages.get(most[0]).longest)} (${most[2]}).`);
  }
}
