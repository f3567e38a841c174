// A running Penstock with simulated workers, and Chromium to look at it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createRequire } from "node:module";

const PROGRAM = resolve(process.env.PENSTOCK ?? "target/release/penstock");
const TOOLS = createRequire(resolve("target/browser/node_modules/x"));
export const SHOTS = resolve("target/browser/shots");

/** Longer than the slowest machine takes; reached only when something is broken. */
export const PATIENCE = 30000;

/** What Chromium is driven by, and what checks a page for accessibility. */
export const { chromium } = TOOLS("playwright-core");
export const axeFile = TOOLS.resolve("axe-core/axe.min.js");

export class Penstock {
  /** With these services; `tokens` are tables of those who may use the admin address. */
  static async start(services, tokens = "") {
    const it = new Penstock();
    it.tokens = tokens;
    it.folder = await mkdtemp(join(tmpdir(), "penstock-browser-"));
    it.file = join(it.folder, "penstock.toml");
    await it.write(services);
    const ready = join(it.folder, "ready.json");
    const watcher = watch(it.folder);
    it.process = spawn(PROGRAM, ["run", it.file], { cwd: it.folder, env: { ...process.env, PENSTOCK_READY_FILE: ready }, stdio: ["ignore", "pipe", "pipe"] });
    it.log = "";
    for (const stream of [it.process.stdout, it.process.stderr]) stream.on("data", (data) => { it.log += data; });
    it.exited = once(it.process, "exit");
    const ended = it.exited.then(() => { throw new Error(`penstock did not start:\n${it.log}`); });
    while (!existsSync(ready)) await Promise.race([once(watcher, "change"), ended]);
    watcher.close();
    ended.catch(() => {});
    const addresses = JSON.parse(await readFile(ready, "utf8"));
    it.gateway = addresses.listeners[0];
    it.admin = `http://${addresses.admin}`;
    return it;
  }

  async write(services) {
    const config = `listeners = [{ address = "127.0.0.1:0" }]\nadmin = { address = "127.0.0.1:0"${this.tokens} }\ngpus = { devices = ["0", "1", "2", "3", "4", "5"] }\n${services}`;
    await writeFile(this.file, config.replaceAll("PENSTOCK", PROGRAM));
  }

  /** What the admin address says. */
  async ask(method, path, body) {
    const answer = await fetch(`${this.admin}${path}`, { method, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text;
  }

  /** Asks a service by way of the gateway. */
  request(service, path = "/v1/models", options = {}) {
    return fetch(`http://${this.gateway}${path}`, { ...options, headers: { ...options.headers, "x-service": service } });
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.exited;
    await rm(this.folder, { recursive: true, force: true });
  }
}

export async function browse() {
  await mkdir(SHOTS, { recursive: true });
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
}

/** A page that the console is open in. What goes wrong in it fails the test. */
export async function open(browser, url, options = {}, prepare = () => {}, shows = "● live") {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(error.stack));
  page.on("console", (message) => { if (message.type() === "error" && !/Failed to load resource/.test(message.text())) page.wrong.push(message.text()); });
  await prepare(page);
  await page.goto(url);
  await page.getByText(shows).waitFor();
  return page;
}
