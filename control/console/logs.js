// What workers write, as they write it.

import { h, text, show, put } from "./dom.js";
import { at } from "./live.js";
import { asked } from "./token.js";

const LINES_MAX = 2000;

export class Logs {
  constructor(service) {
    this.service = service;
    this.which = h("select", { id: "log-of", onchange: () => this.follow() }, h("option", { value: "" }, "all deployments"));
    this.filter = h("input", { id: "log-filter", type: "search", autocomplete: "off", oninput: () => this.choose() });
    this.hold = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggle() }, "Hold");
    this.lines = h("pre.log", { tabindex: "0", role: "log", "aria-live": "off", "aria-label": `Log of ${service}` });
    this.state = h("p.faint", { role: "status" });
    this.node = h("section", { "aria-label": "Logs" }, h("div.tools", {}, h("h2", {}, "Logs"), h("label", { for: "log-of" }, "Of"), this.which,
      h("label", { for: "log-filter" }, "Filter"), this.filter, this.hold), this.state, this.lines);
    this.held = [];
    this.follow();
  }

  deployments(names) {
    if (this.which.options.length === names.length + 1) return;
    const chosen = this.which.value;
    put(this.which, h("option", { value: "" }, "all deployments"), names.map((name) => h("option", { value: name, selected: name === chosen }, name)));
  }

  toggle() {
    const held = this.hold.getAttribute("aria-pressed") !== "true";
    this.hold.setAttribute("aria-pressed", String(held));
    text(this.hold, held ? "Go on" : "Hold");
    if (!held) this.take(this.held.splice(0));
  }

  async follow() {
    this.stop?.abort();
    const stop = this.stop = new AbortController();
    put(this.lines);
    this.held = [];
    text(this.state, "Reading…");
    const query = new URLSearchParams({ lines: "200", follow: "true" });
    if (this.which.value) query.set("deployment", this.which.value);
    try {
      const answer = await asked(`${at(this.service, "logs")}?${query}`, { signal: stop.signal });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      text(this.state, "New lines show as they are written.");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        if (this.hold.getAttribute("aria-pressed") === "true") {
          this.held.push(...lines);
          this.held.splice(0, Math.max(0, this.held.length - LINES_MAX));
          text(this.state, `Held: ${this.held.length} new lines wait.`);
        } else this.take(lines);
      }
      throw new Error("the stream ended");
    } catch (error) {
      if (stop.signal.aborted) return;
      text(this.state, `No more lines: ${error.message}. Trying again in 3 s.`);
      this.again = setTimeout(() => this.follow(), 3000);
    }
  }

  take(lines) {
    const { lines: log } = this;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const wanted = this.filter.value.toLowerCase();
    log.append(...lines.map((line) => {
      const node = h("span", {}, `${line}\n`);
      node.hidden = !line.toLowerCase().includes(wanted);
      return node;
    }));
    while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  choose() {
    const wanted = this.filter.value.toLowerCase();
    for (const line of this.lines.children) show(line, line.textContent.toLowerCase().includes(wanted));
  }

  end() {
    clearTimeout(this.again);
    this.stop?.abort();
  }
}
