// A stand-in for the program: the console's own files, with a stream that a test makes up. For what no
// machine of a test has: a thousand deployments, GPUs, hostile names.

import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

const FILES = new URL("../../control/console/", import.meta.url);
const TYPES = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", svg: "image/svg+xml" };
// As the program has it, but for what lets a test look into the page.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

export function deployment(name, more = {}) {
  return {
    name, host: `${name}--x.local.localhost`, host_needs_key: false, weight: 1, file_weight: 1, removed: false, phase: "warm", troubles: [],
    desired: 1, min: 0, max: 4, in_flight: 0, queued: 0, restarts: 0, reason: "steady", reason_text: "the load fits 1 worker", wishes: [], clamps: [],
    workers: { [`${name}-0`]: worker(0) }, revision: 1, rates: { requests: 0, errors: 0 }, ...more,
  };
}

export function worker(slot, more = {}) {
  return { id: `w${slot}`, slot, state: "ready", address: `127.0.0.1:${40000 + slot}`, in_flight: 0, gpus: [String(slot)], since_ms: Date.now() - 3600e3, revision: 1, outdated: false, ejected: false, ...more };
}

export function service(name, deployments, more = {}) {
  return { name, display_name: name, hosts: [`${name}.local.localhost`], removed: false, settings: ["split: weights"], deployments: Object.fromEntries(deployments.map((one) => [one.name, one])), ...more };
}

export function state(services, more = {}) {
  return { at_ms: Date.now(), generation: 1, gateway_generation: 1, config: { hash: "0", loaded_at_ms: Date.now() - 1e6, certificates: [] }, gpus: [], services: Object.fromEntries(services.map((one) => [one.name, one])), ...more };
}

/** Half of an hour of samples, made by `of(tick from 0 to 1)`. */
export function history(of, name = "") {
  const columns = ["tick", "requests", "errors", "in_flight", "queued", "desired", "ready", "wait_p95", "first_byte_p50", "first_byte_p95", "whole_p50"];
  const now = Math.floor(Date.now() / 2000);
  const rows = Array.from({ length: 300 }, (_, place) => {
    const sample = { tick: now - 300 + place, requests: 0, errors: 0, in_flight: 0, queued: 0, desired: 1, ready: 1, wait_p95: null, first_byte_p50: null, first_byte_p95: null, whole_p50: null, ...of(place / 300) };
    return columns.map((column) => sample[column]);
  });
  return { step_ms: 2000, newest: now - 1, columns, of: { [name]: rows } };
}

/** Serves the console. `first` are the events that a stream begins with; `answers` what else is asked for. */
export async function fake(first, answers = {}) {
  const streams = new Set(), changes = new EventEmitter();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    const file = pathname === "/" ? "index.html" : pathname.startsWith("/console/") ? pathname.slice(9) : null;
    if (file && /^[a-z]+\.[a-z]+$/.test(file)) {
      response.writeHead(200, { "content-type": TYPES[file.split(".")[1]], "content-security-policy": POLICY });
      response.end(await readFile(new URL(file, FILES)));
    } else if (pathname === "/api/v1/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      streams.add(response);
      changes.emit("change");
      response.on("close", () => { streams.delete(response); changes.emit("change"); });
      for (const [name, data] of first(searchParams.get("service"))) send(response, name, data);
    } else if (answers[pathname]) {
      const { type = "application/json", body, status = 200 } = await answers[pathname](request);
      response.writeHead(status, { "content-type": type });
      response.end(body);
    } else {
      response.writeHead(404, { "content-type": "application/problem+json" });
      response.end(JSON.stringify({ detail: "no such page" }));
    }
  });
  await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    send: (name, data) => { for (const stream of streams) send(stream, name, data); },
    watched: () => streams.size,
    until: async (is) => { while (!is()) await once(changes, "change"); },
    cut: () => { for (const stream of streams) stream.destroy(); },
    close: () => { server.closeAllConnections(); return new Promise((closed) => server.close(closed)); },
  };
}

function send(stream, name, data) {
  stream.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** A thousand deployments of 250 services, and the changes of a second: everything that counts changes. */
export function thousand() {
  const names = Array.from({ length: 250 }, (_, place) => `model-${place}`);
  const parts = ["stable", "canary", "blue", "batch"];
  const phases = ["warm", "warm", "warm", "warm", "warm", "starting", "cold", "degraded", "warm", "failed"];
  const whole = state(names.map((name, place) => service(name, parts.map((part, of) => deployment(part, {
    phase: phases[(place * 4 + of * 3) % 10],
    troubles: phases[(place * 4 + of * 3) % 10] === "failed" ? ["worker 0 did not become ready within 5 min: not ready: HTTP 503"] : phases[(place * 4 + of * 3) % 10] === "degraded" ? ["1 of 3 workers gets no requests: its readiness probe fails"] : [],
    workers: { a: worker(0), b: worker(1), c: worker(2) }, desired: 3,
  })))));
  const change = (second) => ({
    at_ms: Date.now(),
    services: Object.fromEntries(names.map((name, place) => [name, { deployments: Object.fromEntries(parts.map((part, of) => [part, {
      in_flight: (second * 7 + place * 3 + of) % 97, queued: (second + place) % 11 === 0 ? (second * 5 + of) % 40 : 0,
      rates: { requests: (second * 13 + place * 5 + of) % 400, errors: (second + place) % 17 === 0 ? 1.5 : 0, first_byte: ((second + place) % 30) / 20 + 0.05, wait: ((second + of) % 9) / 50 },
    }])) }])),
  });
  return { whole, change };
}
