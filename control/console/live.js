// What the program says, as it says it: one stream of server-sent events.

import { asked, Events } from "./token.js";

/** Does to `target` what a merge patch of RFC 7396 says; what is not changed stays the same object. */
export function merge(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const plain = target !== null && typeof target === "object" && !Array.isArray(target);
  const merged = plain ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    // Not by the name of what every object inherits.
    if (key === "__proto__") continue;
    if (value === null) delete merged[key];
    else merged[key] = merge(Object.hasOwn(merged, key) ? merged[key] : undefined, value);
  }
  return merged;
}

const SAMPLES_MAX = 900;
// Without a word for so long something is wrong, whatever the connection looks like.
const SILENT_MS = 12000;
// A page that nobody sees gives its connection back: a browser has six to one host, for all tabs together.
const HIDDEN_MS = 10000;

export class Live {
  constructor(on) {
    this.on = on;
    this.state = null;
    this.watched = undefined;
    setInterval(() => this.listen(), 2000);
    document.addEventListener("visibilitychange", () => {
      this.hidden = document.hidden ? Date.now() : null;
      this.listen();
    });
  }

  /** Watches everything and, if a service is named, that one more closely. */
  watch(service) {
    if (this.source && this.watched === service) return;
    this.watched = service;
    this.history = new Map();
    this.step = 2000;
    this.detail = null;
    this.connect();
  }

  connect() {
    this.source?.close();
    this.again = 0;
    const query = this.watched ? `?service=${encodeURIComponent(this.watched)}` : "";
    const source = this.source = new Events(`/api/v1/events${query}`);
    this.heard = Date.now();
    const events = {
      state: (data) => { this.state = data; this.on.state(data, null); },
      patch: (data) => { if (this.state) { this.state = merge(this.state, data); this.on.state(this.state, data); } },
      history: (data) => { this.remember(data); this.on.history(); },
      service: (data) => { this.detail = data; this.on.detail(data); },
      problem: (data) => { this.problem = data.detail; this.on.connection("bad", data.detail); },
    };
    source.read((name, data) => {
      this.heard = Date.now();
      if (name === "state" || name === "patch") { this.problem = null; this.on.connection("good", "live"); }
      events[name]?.(JSON.parse(data));
    }).then(() => null, (error) => error).then((error) => {
      if (this.source !== source) return;
      this.source = null;
      if (error?.status === 401) {
        // Until there is a token.
        this.again = Infinity;
        this.on.token();
        return;
      }
      const words = error?.status ? error.message : "no connection; trying again";
      this.on.connection("bad", this.problem ?? words);
      this.again = Date.now() + 2000;
    });
  }

  listen() {
    if (this.hidden) {
      if (this.source && Date.now() - this.hidden > HIDDEN_MS) {
        this.source.close();
        this.source = null;
        this.on.connection("off", "not live while hidden");
      }
      return;
    }
    if (!this.source && this.watched !== undefined && Date.now() >= (this.again ?? 0)) this.connect();
    else if (this.source && Date.now() - this.heard > SILENT_MS) {
      this.on.connection("bad", "nothing heard for a while; trying again");
      this.connect();
    }
  }

  remember({ step_ms, columns, of }) {
    this.step = step_ms;
    for (const [name, rows] of Object.entries(of)) {
      const samples = this.history.get(name) ?? [];
      for (const row of rows) {
        const sample = Object.fromEntries(columns.map((column, place) => [column, row[place]]));
        if (!samples.length || samples.at(-1).tick < sample.tick) samples.push(sample);
      }
      if (samples.length > SAMPLES_MAX) samples.splice(0, samples.length - SAMPLES_MAX);
      this.history.set(name, samples);
    }
  }
}

/** Asks the program something; an error has its words. */
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await asked(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("Penstock does not answer. Nothing may have been changed; look before trying again.");
  }
  const words = await answer.text();
  let told = null;
  try { told = words ? JSON.parse(words) : null; } catch { told = words; }
  if (!answer.ok) {
    const detail = told?.detail ?? (words || answer.statusText);
    throw new Error(answer.status === 507 ? `${detail}. The change is in force, but a crash would lose it; storing is tried again.` : detail);
  }
  return told;
}

/** The address of something of a service. */
export function at(service, ...rest) {
  return ["/api/v1/services", encodeURIComponent(service), ...rest].join("/");
}
