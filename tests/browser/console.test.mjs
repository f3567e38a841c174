// The console in a real browser, before a real Penstock with simulated workers.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Penstock, PATIENCE, SHOTS, axeFile, browse, open } from "./penstock.mjs";

const worker = (model, more = "") => `process = { command = ["PENSTOCK", "worker", "--model", "${model}", "--load-time", "100ms", "--tokens-per-second", "40"${more}], gpus = 1 }
probes.ready = { http = "/health", period = "200ms" }`;

const SERVICES = `
[services.chat]
default = true
display_name = "Chat <img src=x onerror=alert(1)>"
queue = { max_wait = "60s" }
[services.chat.deployments.stable]
weight = 90
${worker("demo")}
scaling = { min = 1, max = 3, rules = [{ type = "concurrency", target = 100 }] }
[services.chat.deployments.canary]
weight = 10
${worker("demo")}
scaling = { min = 1, max = 1 }
[services.talk.deployments.main]
process = { shell = "echo '<script>alert(2)</script> says <b>hello</b>'; exec PENSTOCK worker --model talk --load-time 100ms" }
probes.ready = { http = "/health", period = "200ms" }
scaling = { min = 1, max = 1 }
[services.roll.deployments.stable]
process = { command = ["PENSTOCK", "worker", "--load-time", "100ms"] }
probes.ready = { http = "/health", period = "200ms" }
[services.roll.deployments.canary]
process = { command = ["PENSTOCK", "worker", "--load-time", "100ms"] }
probes.ready = { http = "/health", period = "200ms" }
rollout = { steps = [10, 50, 100], interval = "1h" }
[services.ill.deployments.main]
process = { command = ["PENSTOCK", "worker", "--crash-on-start"] }
scaling = { min = 1, max = 1 }
`;

let penstock, browser, page;

before(async () => {
  [penstock, browser] = await Promise.all([Penstock.start(SERVICES), browse()]);
}, { timeout: 2 * PATIENCE });

after(async () => {
  await browser?.close();
  await penstock?.stop();
});

afterEach(async (context) => {
  const name = context.name.replace(/\W+/g, "-");
  if (page && context.passed === false) await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true }).catch(() => {});
  const wrong = page?.wrong ?? [];
  await page?.context().close();
  page = null;
  assert.deepEqual(wrong, []);
});

const show = async (hash = "", options) => (page = await open(browser, `${penstock.admin}/#/${hash}`, options));
const heading = (name) => page.getByRole("heading", { name, exact: false }).first().waitFor();
const button = (name, within = page) => within.getByRole("button", { name, exact: true });
const card = (name) => page.getByRole("region", { name: new RegExp(`^${name} `) });
const dialog = () => page.getByRole("dialog");
const idle = () => page.waitForFunction(() => !document.querySelector("dialog"));
const ready = (service, deployment, count = 1) => page.locator(".facts", { hasText: new RegExp(`^${count} of ${count} workers ready`) }).first().waitFor();

/** Fills the reason in, sees what will happen, does it, and waits until the dialog is gone. */
async function act(go, reason) {
  const box = dialog();
  await box.locator(".preview p").first().waitFor();
  const words = await box.locator(".preview").innerText();
  if (reason) await box.getByLabel("Reason").fill(reason);
  await button(go, box).click();
  await idle();
  await page.locator(".toast").waitFor();
  return words;
}

/** What the program says, once it is so. */
async function until(path, is) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const told = await penstock.ask("GET", path);
    if (is(told)) return told;
    if (Date.now() > end) throw new Error(`${path}: ${JSON.stringify(told)}`);
    // The page hears from the program once a second; so does this.
    await page.waitForFunction((then) => performance.now() > then, await page.evaluate(() => performance.now() + 100));
  }
}

const deployments = (service) => `/api/v1/services/${service}`;
const named = (told, name) => told.deployments.find((one) => one.name === name);

test("the page and its files are served so that nothing else can run in it", async () => {
  await show();
  const answer = await fetch(`${penstock.admin}/`);
  const policy = answer.headers.get("content-security-policy");
  for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(rule), policy);
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  const tag = answer.headers.get("etag");
  assert.equal((await fetch(`${penstock.admin}/`, { headers: { "if-none-match": tag } })).status, 304);
  // The browser itself refuses what is not the page's own.
  const refused = await page.evaluate(() => {
    try { document.body.innerHTML = "<b>x</b>"; return false; } catch { return true; }
  });
  assert.ok(refused);
  await page.evaluate(() => { const script = document.createElement("script"); try { script.text = "window.ran = 1"; document.body.append(script); } catch { /* as it should be */ } });
  assert.equal(await page.evaluate(() => window.ran), undefined);
  page.wrong = [];
});

test("the overview shows every deployment as it is, and what is wrong first", async () => {
  await show();
  const rows = page.locator("table.deployments tbody tr");
  await page.waitForFunction(() => document.querySelectorAll("table.deployments tbody tr").length === 6);
  await page.locator(".troubles", { hasText: "ill/main" }).waitFor();
  await rows.first().filter({ hasText: "ill/main" }).waitFor();
  await page.getByLabel("Filter").fill("talk");
  await page.waitForFunction(() => document.querySelectorAll("table.deployments tbody tr").length === 1);
  await page.getByLabel("Filter").fill("");
  await page.getByLabel("Sort by").selectOption("name");
  await rows.first().filter({ hasText: "chat/canary" }).waitFor();
  await page.getByRole("link", { name: "chat/stable" }).click();
  await heading("chat: Chat <img");
  assert.equal(await page.title(), "chat · Penstock");
});

test("charts grow with what requests do, and the service says where their time goes", async () => {
  await show("services/chat");
  await ready("chat", "stable");
  const asked = Array.from({ length: 8 }, () => penstock.request("chat", "/v1/chat/completions", {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "demo", stream: true, max_tokens: 200, messages: [{ role: "user", content: "count" }] }),
  }).then((answer) => answer.text()));
  await page.locator(".slow tr", { hasText: "Stream" }).locator("td").first().filter({ hasText: /^[1-9]/ }).waitFor();
  await page.getByRole("link", { name: "Requests", exact: true }).click();
  await page.locator("tbody tr", { hasText: "POST /v1/chat/completions" }).first().waitFor();
  await page.getByRole("link", { name: "Now", exact: true }).click();
  await Promise.all(asked);
  const chart = page.getByRole("img", { name: /^Requests per second, the last 10 minutes; now all [0-9]/ });
  await page.getByLabel("Last", { exact: true }).selectOption("3");
  await page.getByRole("img", { name: /^Workers, the last 3 minutes/ }).waitFor();
  await page.getByLabel("Last", { exact: true }).selectOption("10");
  await chart.waitFor();
  await page.waitForFunction(() => document.querySelector(".chart .line.k0")?.getAttribute("d").length > 10);
  const box = await chart.boundingBox();
  await page.mouse.move(box.x + box.width - 20, box.y + 40);
  await page.locator("svg .cursor").waitFor({ state: "attached" });
  await page.getByText(/^In the last .*requests?, 0 with an error/).first().waitFor();
  await until("/api/v1/history?service=chat", (told) => Object.values(told.of).flat().some((row) => row[1] > 0));
});

test("weights are changed after the program said what that comes to, and taken back", async () => {
  await show("services/chat");
  await button("Weights…").click();
  await dialog().getByLabel("canary").fill("30");
  await dialog().locator("tr.changes", { hasText: "canary" }).waitFor();
  await dialog().getByLabel("canary").fill("");
  await dialog().getByRole("alert").filter({ hasText: "whole number" }).waitFor();
  assert.ok(await button("Set the weights", dialog()).isDisabled());
  await dialog().getByLabel("canary").fill("30");
  await dialog().locator("tr.changes", { hasText: "canary" }).waitFor();
  await act("Set the weights", "more <b>traffic</b>");
  await page.getByText("Weights were set by hand").filter({ hasText: "more <b>traffic</b>" }).waitFor();
  await button("Roll back…").click();
  await act("Roll back");
  await until(`${deployments("chat")}/weights`, (told) => told.deployments.find((one) => one.name === "canary").weight === 10);
  await button("Promote…", card("canary")).click();
  await act("Give it all traffic");
  await card("stable").locator(".facts", { hasText: "weight 0" }).waitFor();
  await button("Follow the file…").click();
  await act("Follow the file");
  await card("stable").locator(".facts", { hasText: "weight 90" }).waitFor();
});

test("a service and a deployment are paused and resumed", async () => {
  await show("services/talk");
  await ready("talk", "main");
  await page.getByRole("group", { name: "Actions on talk", exact: true }).getByRole("button", { name: "Pause…" }).click();
  await dialog().getByLabel("Until").selectOption("3600");
  const words = await act("Pause", "new GPUs");
  assert.match(words, /503 "paused"/);
  await page.getByText(/^▲ Paused .*: new GPUs; until/).waitFor();
  await page.getByRole("group", { name: "Actions on talk", exact: true }).getByRole("button", { name: "Resume…" }).click();
  assert.match(await act("Resume"), /It was paused: new GPUs/);
  await ready("talk", "main");
  await button("Pause…", card("main")).click();
  await act("Pause", "only this");
  await card("main").getByText("only this").first().waitFor();
  await button("Resume…", card("main")).click();
  await act("Resume");
  await ready("talk", "main");
});

test("a rollout is shown with its steps, held, taken back and begun anew", async () => {
  await show("services/roll");
  const rollout = page.locator(".rollout");
  await rollout.getByText("Rollout: running").waitFor();
  await rollout.locator(".steps .current, .steps .taken").first().waitFor();
  await button("Pause rollout…", card("canary")).click();
  await act("Pause the rollout", "wait for the morning");
  await rollout.getByText("Rollout: paused").waitFor();
  await button("Resume rollout…", card("canary")).click();
  await act("Resume the rollout");
  await rollout.getByText("Rollout: running").waitFor();
  await button("Roll back…").click();
  await act("Roll back", "it is slow");
  await rollout.getByText("Rollout: rolled back").waitFor();
  await button("Restart rollout…", card("canary")).click();
  await act("Begin the rollout anew");
  await rollout.getByText("Rollout: running").waitFor();
});

test("workers are scaled, drained and restarted by hand, and the rules take over again", async () => {
  await show("services/chat");
  await button("Scale…", card("stable")).click();
  await dialog().getByLabel("Workers").fill("2");
  assert.match(await act("Set this number", "a demonstration"), /1 worker more is started/);
  await card("stable").locator(".facts", { hasText: "2 of 2 workers ready" }).waitFor();
  await card("stable").getByText(/2 workers, set by hand .*: a demonstration/).waitFor();
  const old = named(await penstock.ask("GET", deployments("chat")), "stable").workers.map((one) => one.id);
  await button("Drain worker 1…", card("stable")).click();
  await act("Drain it");
  await until(deployments("chat"), (told) => named(told, "stable").workers.every((one) => one.id !== old[1]) && named(told, "stable").workers.filter((one) => one.state === "ready").length === 2);
  await button("Restart…", card("stable")).click();
  await act("Restart", "a leak");
  await until(deployments("chat"), (told) => {
    const stable = named(told, "stable");
    return stable.workers.every((one) => !old.includes(one.id)) && stable.workers.filter((one) => one.state === "ready").length === 2;
  });
  await button("By the rules…", card("stable")).click();
  await act("Let the rules decide");
  await button("By the rules…", card("stable")).waitFor({ state: "detached" });
  // What was decided stands on the chart where it happened.
  await page.locator("svg[aria-label^='Workers'] .mark title").first().waitFor({ state: "attached" });
  await page.getByRole("link", { name: "Journal", exact: true }).last().click();
  await page.locator(".journal li", { hasText: "stable" }).first().waitFor();
});

test("another revision is switched to and back, after a reload that made it", async () => {
  await show("services/talk/revisions");
  await page.locator(".revisions tbody tr").first().waitFor();
  await penstock.write(SERVICES.replace("--model talk", "--model talk2"));
  await until(`${deployments("talk")}/revisions`, (told) => told.deployments[0].revisions.length === 2);
  await page.locator(".revisions tbody tr", { hasText: "shell" }).first().waitFor();
  await until(deployments("talk"), (told) => told.deployments[0].workers.length === 1 && told.deployments[0].workers[0].revision === 2);
  await page.locator(".revisions").getByRole("button", { name: "Switch…" }).click();
  assert.match(await act("Switch", "the old one was better"), /revision 1, step by step/);
  await until(deployments("talk"), (told) => told.deployments[0].revision === 1 && told.deployments[0].workers.every((one) => one.revision === 1));
  await page.getByRole("button", { name: "To the file's revision…" }).click();
  await act("Follow the file");
  await until(deployments("talk"), (told) => told.deployments[0].revision === 2 && !told.deployments[0].switched);
});

test("a refused configuration is told in words, where it was asked for and on the overview", async () => {
  await show();
  await penstock.write(`${SERVICES}\n[services.more]\nunknown_key = "<i>"`);
  await button("Reload configuration…").click();
  await dialog().getByLabel("Reason").fill("try");
  await button("Reload", dialog()).click();
  await dialog().getByRole("alert").filter({ hasText: "unknown_key" }).waitFor();
  await page.keyboard.press("Escape");
  await idle();
  // The focus is where it was.
  assert.equal(await page.evaluate(() => document.activeElement.id), "reload");
  await page.locator(".troubles", { hasText: "configuration was refused" }).waitFor();
  await penstock.write(SERVICES);
  await button("Reload configuration…").click();
  await act("Reload");
  await page.locator(".troubles", { hasText: "configuration was refused" }).waitFor({ state: "detached" });
});

test("what hostile workers write is shown as text", async () => {
  await show("services/talk/logs");
  await page.locator(".log", { hasText: "<script>alert(2)</script> says <b>hello</b>" }).waitFor();
  assert.equal(await page.locator(".log b, .log script").count(), 0);
  await page.getByLabel("Filter").fill("nowhere");
  await page.waitForFunction(() => [...document.querySelectorAll(".log span")].every((line) => line.hidden));
  await page.getByLabel("Filter").fill("");
  await button("Hold").click();
  await button("Go on").click();
  await page.getByLabel("Of", { exact: true }).selectOption("main");
  await page.locator(".log", { hasText: "says" }).waitFor();
});

test("a chat is tried, its stream shown as it comes, and its clocks", async () => {
  await show("services/chat/try");
  await page.getByLabel("Model").fill("demo");
  await page.getByLabel("Message").fill("one two three");
  await button("Send").click();
  await page.locator(".answer", { hasText: "data:" }).waitFor();
  await page.locator(".answer-status", { hasText: "✓ 200" }).waitFor();
  await page.locator(".clocks", { hasText: /connected.*head.*first byte.*end/s }).waitFor();
  assert.notEqual(await page.locator(".said").innerText(), "");
  await page.getByText("Headers of the answer").click();
  await page.locator(".headers", { hasText: "text/event-stream" }).waitFor();
});

test("any request is tried at one deployment, and errors are told in words", async () => {
  await show("services/chat/try");
  await page.getByLabel("Ask").selectOption("canary");
  await page.getByLabel("With").selectOption("http");
  await page.getByLabel("Path").fill("/v1/models");
  await page.getByText("Headers of the request").click();
  await page.getByLabel("One per line").fill("x-test: 1");
  await button("Send").click();
  await page.locator(".answer", { hasText: '"demo"' }).waitFor();
  await page.getByLabel("Path").fill("http://elsewhere.example/");
  await button("Send").click();
  await page.getByRole("alert").filter({ hasText: "a path begins with a slash" }).waitFor();
  await page.getByLabel("Path").fill("/");
  await page.getByLabel("One per line").fill("host: elsewhere.example");
  await button("Send").click();
  await page.getByRole("alert").filter({ hasText: "cannot be set here" }).waitFor();
  await page.getByLabel("One per line").fill("");
  await page.getByLabel("Path").fill("/no/such/page");
  await button("Send").click();
  await page.locator(".answer-status", { hasText: "✕ 404" }).waitFor();
});

test("workers and GPUs are listed with who has them", async () => {
  await show("gpus");
  await page.locator(".gpus li", { hasText: /chat\/stable#\d/ }).first().waitFor();
  await page.getByRole("link", { name: "Workers", exact: true }).click();
  await page.locator("tbody tr", { hasText: /chat\/stable#\d/ }).first().waitFor();
  await page.getByLabel("Filter").fill("chat/canary");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.getByRole("link", { name: "Journal", exact: true }).click();
  await page.locator(".journal li").first().waitFor();
});

test("a service that is not there is said not to be", async () => {
  await show("services/nowhere");
  await page.getByRole("alert").filter({ hasText: "There is no service nowhere." }).waitFor();
});

test("everything is reached by keyboard, and the focus stays while the page lives", async () => {
  await show();
  await page.keyboard.press("Tab");
  await page.locator(":focus", { hasText: "Skip to the page" }).waitFor();
  await page.getByLabel("Filter").focus();
  await page.keyboard.type("chat");
  const link = page.getByRole("link", { name: "chat/canary" });
  await link.focus();
  const told = await page.evaluate(() => new Promise((done) => {
    const seen = new MutationObserver(() => { seen.disconnect(); done(document.activeElement.textContent); });
    seen.observe(document.getElementById("page"), { subtree: true, childList: true, characterData: true, attributes: true });
  }));
  assert.equal(told, "chat/canary");
  await page.keyboard.press("Enter");
  await heading("chat: Chat");
  assert.equal(await page.evaluate(() => document.activeElement.id), "page");
});

for (const [name, options] of [["a phone", { viewport: { width: 360, height: 740 } }], ["the dark", { colorScheme: "dark" }], ["a desk", {}]]) {
  test(`every page is accessible on ${name} and as wide as the screen`, async () => {
    const axe = await readFile(axeFile, "utf8");
    await show("", { ...options, bypassCSP: true });
    page.wrong = [];
    for (const hash of ["", "workers", "gpus", "journal", "services/chat", "services/chat/requests", "services/chat/revisions", "services/chat/journal", "services/chat/logs", "services/chat/try", "services/ill"]) {
      await page.evaluate((to) => { location.hash = `#/${to}`; }, hash);
      await page.locator("#page h1").waitFor();
      await page.locator("#page > p", { hasText: "Loading" }).waitFor({ state: "detached" });
      const found = await page.evaluate(async (source) => {
        if (!window.axe) (0, eval)(source);
        const { violations } = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"] });
        return violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
      }, axe);
      assert.deepEqual(found, [], hash);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(over, 0, `${hash} is wider than the screen`);
      await page.screenshot({ path: join(SHOTS, `${name.replace(/\W/g, "-")}-${hash.replace(/\W/g, "-") || "overview"}.png`), fullPage: true });
    }
    page.wrong = [];
  });
}

test("a dialog is accessible too", async () => {
  await show("services/chat", { bypassCSP: true });
  await button("Pause…", card("stable")).click();
  await dialog().locator(".preview p").first().waitFor();
  const found = await page.evaluate(async (source) => {
    (0, eval)(source);
    return (await window.axe.run(document.querySelector("dialog"))).violations.map((one) => `${one.id}: ${one.nodes[0].html}`);
  }, await readFile(axeFile, "utf8"));
  assert.deepEqual(found, []);
  await button("Cancel", dialog()).click();
  await idle();
  page.wrong = [];
});

test("nothing that changes is taken from another origin", async () => {
  await show();
  for (const [method, path, body] of [["POST", "/api/v1/try", { service: "chat", path: "/" }], ["POST", "/api/v1/reload", {}], ["GET", "/api/v1/events", null]]) {
    const answer = await fetch(`${penstock.admin}${path}`, { method, headers: { origin: "http://evil.example" }, body: body && JSON.stringify(body) });
    assert.equal(answer.status, 403, path);
  }
  await writeFile(join(SHOTS, "done"), "");
});
