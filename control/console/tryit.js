// Sends a request through the gateway and shows how it is answered, as it is.

import { h, text, show, put, say } from "./dom.js";
import { asked } from "./token.js";
import { duration, bytes, byName } from "./words.js";

const SHOWN_MAX = 200000;

export class TryIt {
  constructor(service, state) {
    this.service = service;
    const known = state?.services[service];
    const names = Object.keys(known?.deployments ?? {}).sort(byName);
    this.to = h("select", { id: "try-to" }, h("option", { value: "" }, "the service, as clients are"), names.map((name) => h("option", { value: name }, `${name}, directly`)));
    this.kind = h("select", { id: "try-kind", onchange: () => this.chosen() }, h("option", { value: "chat" }, "chat"), h("option", { value: "http" }, "any HTTP request"));
    this.model = h("input", { id: "try-model", value: known?.models?.[0]?.name ?? known?.models?.[0] ?? service, autocomplete: "off" });
    this.stream = h("input", { id: "try-stream", type: "checkbox", checked: true });
    this.message = h("textarea", { id: "try-message", rows: 3 });
    this.message.value = "Say hello.";
    this.method = h("select", { id: "try-method" }, ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].map((name) => h("option", {}, name)));
    this.path = h("input", { id: "try-path", value: "/v1/models", spellcheck: "false", autocomplete: "off" });
    this.headers = h("textarea", { id: "try-headers", rows: 3, spellcheck: "false", placeholder: "authorization: Bearer …" });
    this.body = h("textarea", { id: "try-body", rows: 5, spellcheck: "false" });
    const field = (id, label, input) => h("div.field", {}, h("label", { for: id }, label), input);
    this.chat = h("div.fields", {}, field("try-model", "Model", this.model), h("div.check", {}, this.stream, h("label", { for: "try-stream" }, "Stream")), h("div.field.whole", {}, h("label", { for: "try-message" }, "Message"), this.message));
    this.http = h("div.fields", { hidden: true }, field("try-method", "Method", this.method), field("try-path", "Path", this.path), h("div.field.whole", {}, h("label", { for: "try-body" }, "Body"), this.body));
    this.send = h("button.primary", { type: "submit" }, "Send");
    this.stop = h("button", { type: "button", hidden: true, onclick: () => this.abort?.abort() }, "Stop");
    this.wrong = h("p.wrong", { role: "alert", hidden: true });
    this.status = h("p.answer-status", { role: "status" });
    this.clocks = h("dl.clocks");
    this.answer = h("pre.answer", { tabindex: "0", "aria-label": "Answer" });
    this.answerHeaders = h("table.headers");
    this.said = h("p.said");
    this.result = h("div.result", { hidden: true }, this.status, this.clocks, this.said, h("details", {}, h("summary", {}, "Headers of the answer"), this.answerHeaders), h("h3", {}, "Body"), this.answer);
    const form = h("form.try", { onsubmit: (event) => { event.preventDefault(); this.go(); } },
      h("div.fields", {}, field("try-to", "Ask", this.to), field("try-kind", "With", this.kind)), this.chat, this.http,
      h("details", {}, h("summary", {}, "Headers of the request"), field("try-headers", "One per line", this.headers)),
      h("div.buttons", {}, this.send, this.stop));
    this.node = h("section", { "aria-labelledby": "try-title" }, h("h2", { id: "try-title" }, "Try it"),
      h("p.faint", {}, "The request goes through the gateway as a client's would: it wakes workers, waits, counts, and is logged."), form, this.wrong, this.result);
  }

  chosen() {
    show(this.chat, this.kind.value === "chat");
    show(this.http, this.kind.value === "http");
  }

  request() {
    const headers = this.headers.value.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
      const place = line.indexOf(":");
      if (place < 1) throw new Error(`A header is "name: value", not "${line}".`);
      return [line.slice(0, place).trim(), line.slice(place + 1).trim()];
    });
    const common = { service: this.service, deployment: this.to.value || undefined };
    if (this.kind.value === "http") return { ...common, method: this.method.value, path: this.path.value.trim(), headers, body: this.body.value };
    const chat = { model: this.model.value.trim(), stream: this.stream.checked, messages: [{ role: "user", content: this.message.value }] };
    return { ...common, method: "POST", path: "/v1/chat/completions", headers: [["content-type", "application/json"], ...headers], body: JSON.stringify(chat) };
  }

  async go() {
    this.abort?.abort();
    const abort = this.abort = new AbortController();
    show(this.wrong, false);
    try {
      const request = this.request();
      this.begin();
      const answer = await asked("/api/v1/try", { method: "POST", body: JSON.stringify(request), signal: abort.signal });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        lines.filter(Boolean).forEach((line) => this.take(JSON.parse(line)));
      }
      if (!this.over) throw new Error("the answer was broken off: the admin address closed the connection");
    } catch (error) {
      const words = abort.signal.aborted ? "Stopped: the gateway was told that the client left." : error.message;
      put(this.wrong, "✕ ", words);
      show(this.wrong, true);
      if (!this.clocks.childElementCount) show(this.result, false);
    } finally {
      if (this.abort === abort) {
        this.send.disabled = false;
        show(this.stop, false);
      }
    }
  }

  begin() {
    Object.assign(this, { over: false, first: null, size: 0, events: "", chatText: "" });
    this.send.disabled = true;
    show(this.stop, true);
    show(this.result, true);
    text(this.status, "Sent; waiting for the answer…");
    this.status.className = "answer-status";
    for (const node of [this.clocks, this.answerHeaders, this.answer]) put(node);
    text(this.said, "");
  }

  clock(name, seconds) {
    this.clocks.append(h("div", {}, h("dt", {}, name), h("dd", {}, duration(seconds))));
  }

  take(line) {
    if (line.connected) this.clock("connected", line.at);
    else if (line.status) {
      const good = line.status < 400;
      text(this.status, `${good ? "✓" : "✕"} ${line.status} ${line.reason ?? ""}`);
      this.status.className = `answer-status ${good ? "good" : "bad"}`;
      this.clock("head", line.at);
      this.answerHeaders.append(h("tbody", {}, line.headers.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))));
    } else if (line.text != null) {
      if (this.first === null && line.text) {
        this.first = line.at;
        this.clock("first byte", line.at);
      }
      this.size += line.text.length;
      if (this.size <= SHOWN_MAX) this.answer.append(line.text);
      this.answer.scrollTop = this.answer.scrollHeight;
      this.read(line.text);
    } else if (line.end) {
      this.over = true;
      this.clock("end", line.at);
      this.clocks.append(h("div", {}, h("dt", {}, "size"), h("dd", {}, bytes(line.bytes))));
      if (line.cut) { put(this.wrong, "▲ Longer answers are cut here."); show(this.wrong, true); }
      this.whole();
      say(`Answered: ${this.status.textContent}`);
    } else if (line.error) {
      this.over = true;
      text(this.status, "✕ no answer, or not all of it");
      this.status.className = "answer-status bad";
      put(this.wrong, "✕ ", line.error);
      show(this.wrong, true);
    }
  }

  /** What the model says, from the events of a chat. */
  read(piece) {
    if (this.kind.value !== "chat") return;
    const lines = (this.events + piece).split("\n");
    this.events = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      try { this.chatText += JSON.parse(line.slice(5)).choices?.[0]?.delta?.content ?? ""; } catch { /* as [DONE] */ }
    }
    text(this.said, this.chatText);
  }

  whole() {
    if (this.kind.value !== "chat" || this.chatText) return;
    try { text(this.said, JSON.parse(this.answer.textContent).choices?.[0]?.message?.content ?? ""); } catch { /* no chat */ }
  }

  end() { this.abort?.abort(); }
}
