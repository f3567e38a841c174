// The console before a stream that is made up: a thousand deployments, broken streams, hostile names.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { SHOTS, PATIENCE, browse, open } from "./penstock.mjs";
import { deployment, fake, history, service, state, thousand } from "./faked.mjs";

let browser, page, server;

before(async () => { browser = await browse(); }, { timeout: PATIENCE });
after(() => browser?.close());
afterEach(async (context) => {
  if (page && context.passed === false) await page.screenshot({ path: join(SHOTS, `${context.name.replace(/\W+/g, "-")}.png`) }).catch(() => {});
  const wrong = page?.wrong ?? [];
  await page?.context().close();
  await server?.close();
  assert.deepEqual(wrong, []);
});

test("a thousand deployments that all change every second do not hold the page up", async (context) => {
  const { whole, change } = thousand();
  server = await fake(() => [["state", whole], ["history", history(() => ({ requests: 100 }))]]);
  page = await open(browser, server.url);
  await page.getByText("1–50 of 1000").waitFor();
  await page.evaluate(() => {
    window.frames = [];
    let last = performance.now();
    const frame = (now) => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    // What the page itself does when it hears something.
    window.took = [];
    window.heard = 0;
    const listen = EventTarget.prototype.addEventListener;
    listen.call(window, "unhandledrejection", () => {});
  });
  const took = [];
  for (let second = 1; second <= 8; second += 1) {
    server.send("patch", change(second));
    const wanted = whole.services["model-0"].deployments.stable;
    const { in_flight } = change(second).services["model-0"].deployments.stable;
    await page.getByLabel("Sort by").selectOption(second % 2 ? "name" : "requests");
    if (second % 2) {
      await page.waitForFunction((count) => {
        const row = [...document.querySelectorAll("table.deployments tbody tr")].find((one) => one.textContent.includes("model-0/stable"));
        return row?.querySelector("td[data-name='In flight']").textContent === String(count);
      }, in_flight, { polling: "raf" });
    }
    assert.ok(wanted);
    took.push(await page.evaluate(() => { const { frames } = window; window.frames = []; return frames; }));
  }
  const frames = took.flat().sort((a, b) => a - b);
  const at = (share) => frames[Math.min(frames.length - 1, Math.floor(frames.length * share))].toFixed(1);
  context.diagnostic(`frames: ${frames.length}, median ${at(0.5)} ms, 99 % ${at(0.99)} ms, longest ${at(1)} ms`);
  // A machine that stalls makes a few long frames, not half of them.
  assert.ok(frames[Math.floor(frames.length / 2)] < 50, "the page does not stutter");
  assert.equal(await page.locator("table.deployments tbody tr").count(), 50, "only what is shown is drawn");
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByText("51–100 of 1000").waitFor();
  await page.getByLabel("Filter").fill("model-249/blue");
  await page.getByText("1–1 of 1").waitFor({ state: "attached" });
});

test("a stream that breaks is begun anew, and what is gone goes", async () => {
  let services = [service("chat", [deployment("main")]), service("gone", [deployment("main")])];
  server = await fake(() => [["state", state(services)]]);
  page = await open(browser, server.url);
  await page.getByRole("link", { name: "gone/main" }).waitFor();
  server.send("patch", { services: { gone: null, chat: { deployments: { main: { phase: "degraded", troubles: ["one is ill"] } } } } });
  await page.getByRole("link", { name: "gone/main", exact: true }).waitFor({ state: "detached" });
  await page.locator("tbody tr", { hasText: "degraded" }).waitFor();
  services = [service("other", [deployment("main")])];
  server.cut();
  await page.getByText("no connection; trying again").waitFor();
  await page.getByRole("link", { name: "other/main" }).waitFor();
  await page.getByText("● live").waitFor();
});

test("a page that nobody sees gives its connection back, and is live again when it is seen", async () => {
  server = await fake(() => [["state", state([service("chat", [deployment("main")])])]]);
  page = await open(browser, server.url, {}, (fresh) => fresh.clock.install());
  const see = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  assert.equal(server.watched(), 1);
  await see(true);
  await page.clock.runFor(15000);
  await page.getByText("○ not live while hidden").waitFor();
  await server.until(() => server.watched() === 0);
  await see(false);
  await page.getByText("● live").waitFor();
  assert.equal(server.watched(), 1);
});

test("what needs force is done only for those who insist, and what is refused is said", async () => {
  const said = [];
  const promote = async (request) => {
    let body = "";
    for await (const piece of request) body += piece;
    const asked = JSON.parse(body);
    said.push(asked);
    const refused = !asked.dry_run && said.length < 3;
    const told = refused ? { detail: "the state file cannot be written" } : { service: "chat", deployments: [{ name: "canary", weight: 100 }, { name: "stable", weight: 0 }], change: { done: "canary promoted", before: { canary: 0, stable: 1 }, needs_force: "its rollout was taken back: 9 % errors" } };
    return { status: refused ? 507 : 200, body: JSON.stringify(told) };
  };
  server = await fake(() => [["state", state([service("chat", [deployment("stable"), deployment("canary", { weight: 0 })])])]], { "/api/v1/services/chat/promote": promote });
  page = await open(browser, `${server.url}/#/services/chat`);
  await page.getByRole("region", { name: /^canary/ }).getByRole("button", { name: "Promote…" }).click();
  const go = page.getByRole("button", { name: "Give it all traffic" });
  await page.getByText("▲ its rollout was taken back: 9 % errors").waitFor();
  assert.ok(await go.isDisabled());
  await page.getByLabel("Do it all the same").check();
  await page.getByLabel("Your name").fill("ada");
  await go.click();
  await page.getByRole("alert").filter({ hasText: "the state file cannot be written. The change is in force" }).waitFor();
  await go.click();
  await page.getByText("Canary promoted.").first().waitFor();
  assert.deepEqual(said.map(({ dry_run, force, by }) => [dry_run, force, by]), [[true, undefined, undefined], [undefined, true, "ada"], [undefined, true, "ada"]].slice(0, said.length));
});

test("names and words that look like markup, and names that every object has, are only words", async () => {
  const evil = "<img src=x onerror='window.ran=1'>";
  const whole = state([service("chat", [deployment("__proto__", { phase: "failed", troubles: [evil], reason_text: evil }), deployment("constructor")], { display_name: evil })], { gpus: [{ name: evil, kind: evil, devices: [{ name: evil, state: "ready", worker: `${evil}#1` }] }] });
  whole.config.last_error = evil;
  server = await fake(() => [["state", whole], ["service", { name: "chat", recent: {}, explain: [], journal: [{ at_ms: Date.now(), service: "chat", deployment: evil, kind: evil, text: evil }], requests: { open: 1, oldest: [{ id: evil, method: evil, path: evil, client: evil, deployment: evil, age: 1, stage: evil, in_stage: 1 }] } }]]);
  page = await open(browser, server.url);
  for (const hash of ["", "gpus", "services/chat", "services/chat/requests", "services/chat/journal"]) {
    await page.evaluate((to) => { location.hash = `#/${to}`; }, hash);
    await page.locator("#page h1").waitFor();
    await page.getByText(evil).first().waitFor();
    assert.equal(await page.locator("#page img").count(), 0, hash);
  }
  server.send("patch", JSON.parse('{"services":{"__proto__":{"name":"x"}}}'));
  server.send("patch", { at_ms: 1 });
  assert.equal(await page.evaluate(() => ({}).name ?? window.ran ?? null), null);
});

test("tokens and costs show where they are told, and nowhere else", async () => {
  const services = [service("chat", [deployment("main")])];
  server = await fake(() => [["state", state(services)]]);
  page = await open(browser, server.url);
  await page.getByRole("link", { name: "chat/main" }).waitFor();
  assert.equal(await page.getByRole("columnheader", { name: "Tokens/s" }).count(), 0);
  server.send("patch", { services: { chat: { deployments: { main: { tokens: { input: 1, output: 2, input_per_second: 9, output_per_second: 1234 }, cost: { per_hour: 2.5, today: 7, idle_today: 1 } } } } } });
  await page.getByRole("columnheader", { name: "Tokens/s" }).waitFor();
  await page.locator("td[data-name='Cost/h']", { hasText: "2.50" }).waitFor();
});
