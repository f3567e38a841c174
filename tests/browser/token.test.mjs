// The console of an admin address that asks for tokens.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Penstock, PATIENCE, SHOTS, browse, open } from "./penstock.mjs";

const [ADA, EVE] = ["pst_the-operator-of-this-test", "pst_somebody-who-only-looks"];
const hash = (token) => createHash("sha256").update(token).digest("hex");
const TOKENS = `, tokens = { ada = { sha256 = "${hash(ADA)}", role = "operator" }, eve = { sha256 = "${hash(EVE)}", role = "viewer", services = ["chat"] } }`;
const worker = `process = { command = ["PENSTOCK", "worker", "--load-time", "0s"] }\nprobes.ready = { http = "/health", period = "200ms" }`;

let penstock, browser, page;

before(async () => {
  const services = `[services.chat.deployments.main]\n${worker}\n[services.secret.deployments.main]\n${worker}`;
  [penstock, browser] = await Promise.all([Penstock.start(services, TOKENS), browse()]);
}, { timeout: 2 * PATIENCE });

after(async () => {
  await browser?.close();
  await penstock?.stop();
});

afterEach(async (context) => {
  if (page && context.passed === false) await page.screenshot({ path: join(SHOTS, `${context.name.replace(/\W+/g, "-")}.png`) }).catch(() => {});
  const wrong = page?.wrong ?? [];
  await page?.context().close();
  page = null;
  assert.deepEqual(wrong, []);
});

async function signIn(hash, token) {
  page = await open(browser, `${penstock.admin}/#/${hash}`, {}, () => {}, /^A token is needed$/);
  await page.getByRole("textbox", { name: "Token" }).fill("pst_a-guess");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: "No such token" }).waitFor();
  await page.getByRole("textbox", { name: "Token" }).fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("● live").waitFor();
}

test("an operator signs in, does something by name, and signs out", async () => {
  await signIn("services/chat", ADA);
  await page.getByText("Sign out ada (operator)").waitFor();
  await page.getByRole("group", { name: "Actions on chat", exact: true }).getByRole("button", { name: "Pause…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pause", exact: true }).click();
  await page.getByText(/^▲ Paused .* by ada/).waitFor();
  await page.getByRole("group", { name: "Actions on chat", exact: true }).getByRole("button", { name: "Resume…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resume", exact: true }).click();
  await page.getByRole("link", { name: "Logs", exact: true }).click();
  await page.locator(".log", { hasText: "listening on" }).waitFor();
  await page.getByRole("link", { name: "Try it", exact: true }).click();
  await page.getByLabel("With").selectOption("http");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".answer-status", { hasText: "✓ 200" }).waitFor();
  await page.locator("nav#pages").getByRole("link", { name: "Journal" }).click();
  await page.locator(".journal li", { hasText: "paused" }).first().waitFor();
  await page.getByText("Sign out ada (operator)").click();
  await page.getByText(/^A token is needed$/).waitFor();
});

test("a viewer of one service sees it alone, and no buttons", async () => {
  await signIn("", EVE);
  await page.getByRole("link", { name: "chat/main" }).waitFor();
  assert.equal(await page.getByText("secret").count(), 0);
  assert.equal(await page.getByRole("button", { name: "Reload configuration…" }).count(), 0);
  await page.getByRole("link", { name: "chat/main" }).click();
  await page.locator(".facts").first().waitFor();
  assert.equal(await page.getByRole("button", { name: "Pause…" }).count(), 0);
});
