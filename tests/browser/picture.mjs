// Makes the picture in docs/console.md: a service with a canary, before a real Penstock.

import { Penstock, browse, open } from "./penstock.mjs";

const worker = (model, more) => `process = { command = ["PENSTOCK", "worker", "--model", "${model}", "--load-time", "2s", "--tokens-per-second", "60"], gpus = 1 }
probes.ready = { http = "/health", period = "200ms" }
${more}`;

const penstock = await Penstock.start(`
[services.chat]
default = true
display_name = "Chat"
[services.chat.deployments.stable]
weight = 90
max_concurrency = 16
${worker("chat", `scaling = { min = 1, max = 4, rules = [{ type = "concurrency", target = 6, window = "6s", burst_window = "2s" }] }`)}
[services.chat.deployments.canary]
weight = 10
${worker("chat", "scaling = { min = 1, max = 1 }")}
[services.embed.deployments.main]
${worker("embed", "scaling = { min = 0, max = 2 }")}
`);
const browser = await browse();
const page = await open(browser, `${penstock.admin}/#/services/chat`, { viewport: { width: 1100, height: 860 } });
await page.getByText("1 of 1 workers ready").nth(1).waitFor();
const body = JSON.stringify({ model: "chat", stream: true, max_tokens: 150, messages: [{ role: "user", content: "Tell me of turbines." }] });
let going = true;
const ask = async (most) => {
  while (going && most() ) await penstock.request("chat", "/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body }).then((answer) => answer.text());
};
// A load that rises twice, until the charts show it.
const seconds = () => page.evaluate(() => document.querySelector(".chart .line.k0")?.getAttribute("d").split("L").length ?? 0);
const all = Array.from({ length: 3 }, () => ask(() => true));
for (const [samples, more] of [[20, 9], [45, 4]]) {
  while (await seconds() < samples) await page.waitForFunction((count) => document.querySelector(".chart .line.k0").getAttribute("d").split("L").length > count, await seconds(), { timeout: 60000 });
  all.push(...Array.from({ length: more }, () => ask(() => true)));
}
while (await seconds() < 75) await page.waitForFunction((count) => document.querySelector(".chart .line.k0").getAttribute("d").split("L").length > count, await seconds(), { timeout: 60000 });
await page.getByLabel("Last", { exact: true }).selectOption("3");
await page.screenshot({ path: "docs/console.png" });
going = false;
await Promise.all(all);
await browser.close();
await penstock.stop();
