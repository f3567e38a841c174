// Charts of time as SVG, drawn anew when a sample comes.

import { number, duration, clock } from "./words.js";

// How far charts reach back; the same for all, and kept from page to page.
let minutes = 10;
export const SPANS = [3, 10, 30];

export function span() {
  return minutes;
}

export function setSpan(wanted) {
  minutes = wanted;
}

const NS = "http://www.w3.org/2000/svg";
const LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 18, HEIGHT = 132;

function s(tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text != null) node.textContent = text;
  return node;
}

/**
 * A chart. `series` are { label, colour, kind: "line" | "area" | "step", value(sample) }; a value that is null
 * is a gap. `unit` is "count" or "seconds".
 */
export class Chart {
  constructor({ title, series, unit = "count", note }) {
    Object.assign(this, { series, unit, title });
    this.figure = document.createElement("figure");
    this.figure.className = "chart";
    const caption = document.createElement("figcaption");
    const name = document.createElement("strong");
    name.textContent = title;
    caption.append(name);
    if (note) caption.title = note;
    this.values = new Map();
    for (const one of series) {
      const key = document.createElement("span");
      key.className = `key k${one.colour}`;
      const value = document.createElement("b");
      key.append(series.length > 1 ? `${one.label} ` : "", value);
      caption.append(key);
      this.values.set(one, value);
    }
    this.svg = s("svg", { role: "img", "aria-label": title, preserveAspectRatio: "none" });
    this.figure.append(caption, this.svg);
    this.marks = [];
    this.size = new ResizeObserver(() => this.draw());
    this.size.observe(this.figure);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => { this.at = null; this.draw(); });
  }

  /** Shows these samples, and what happened: { at, text, tone }. */
  update(samples, step, marks = []) {
    Object.assign(this, { samples, step, marks });
    this.draw();
  }

  format(value) {
    if (value === 0) return "0";
    return this.unit === "seconds" ? duration(value) : number(value);
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    this.at = event.clientX - box.left;
    this.draw();
  }

  draw() {
    const width = this.figure.clientWidth;
    if (!this.samples || !width || !this.figure.isConnected) return;
    const { samples, step } = this;
    const end = samples.length ? (samples.at(-1).tick + 1) * step : Date.now();
    const begin = end - minutes * 60000;
    const seen = samples.filter((sample) => (sample.tick + 1) * step >= begin);
    const largest = Math.max(0, ...seen.flatMap((sample) => this.series.map((one) => one.value(sample) ?? 0)));
    const top = nice(largest, this.unit);
    const x = (at) => LEFT + ((at - begin) / (end - begin)) * (width - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
    const parts = [];
    for (const value of [0, top / 2, top]) {
      parts.push(s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      parts.push(s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, this.format(value)));
    }
    for (const back of [1, 0.5]) {
      const at = end - back * (end - begin);
      parts.push(s("text", { x: x(at), y: HEIGHT - 3, "text-anchor": back === 1 ? "start" : "middle" }, `−${minutes * back} min`));
    }
    parts.push(s("text", { x: width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, "now"));
    for (const one of this.series) {
      const points = seen.map((sample) => [x((sample.tick + 0.5) * step), one.value(sample)]);
      const path = line(points, y, one.kind === "step");
      if (one.kind === "area" && path) {
        const drawn = points.filter(([, value]) => value != null);
        const area = `${path}V${y(0)}H${drawn[0][0].toFixed(1)}Z`;
        parts.push(s("path", { class: `area k${one.colour}`, d: area }));
      }
      if (path) parts.push(s("path", { class: `line k${one.colour}`, d: path }));
      // A sample between two gaps makes no line.
      points.forEach(([place, value], number) => {
        const alone = value != null && points[number - 1]?.[1] == null && points[number + 1]?.[1] == null;
        if (alone) parts.push(s("circle", { class: `dot k${one.colour}`, cx: place, cy: y(value), r: 1.8 }));
      });
    }
    const marks = this.marks.filter((mark) => mark.at >= begin && mark.at <= end);
    for (const mark of marks) {
      const group = s("g", { class: `mark ${mark.tone ?? ""}` });
      group.append(s("line", { x1: x(mark.at), x2: x(mark.at), y1: TOP, y2: HEIGHT - BOTTOM }),
        s("path", { d: `M${x(mark.at) - 4} ${TOP - 6}h8l-4 6z` }),
        s("title", {}, `${clock(mark.at)} ${mark.text}`));
      parts.push(group);
    }
    const pointed = this.at == null ? null : nearest(seen, begin + ((this.at - LEFT) / (width - LEFT - RIGHT)) * (end - begin), step);
    if (pointed) {
      const place = x((pointed.tick + 0.5) * step);
      parts.push(s("line", { class: "cursor", x1: place, x2: place, y1: TOP, y2: HEIGHT - BOTTOM }));
      const after = place < width / 2;
      parts.push(s("text", { class: "when", x: place + (after ? 4 : -4), y: TOP + 9, "text-anchor": after ? "start" : "end" }, clock(pointed.tick * step)));
    }
    const told = pointed ?? samples.at(-1);
    for (const [one, value] of this.values) {
      const shown = told ? this.format(one.value(told)) : "–";
      if (value.textContent !== shown) value.textContent = shown;
    }
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("height", HEIGHT);
    this.svg.replaceChildren(...parts);
    const last = samples.at(-1);
    const words = this.series.map((one) => `${one.label} ${last ? this.format(one.value(last)) : "unknown"}`);
    this.svg.setAttribute("aria-label", `${this.title}, the last ${minutes} minutes; now ${words.join(", ")}`);
  }

  end() {
    this.size.disconnect();
  }
}

function line(points, y, step) {
  let path = "", gap = true;
  for (const [x, value] of points) {
    if (value == null) { gap = true; continue; }
    const place = y(value).toFixed(1);
    path += gap ? `M${x.toFixed(1)} ${place}` : step ? `H${x.toFixed(1)}V${place}` : `L${x.toFixed(1)} ${place}`;
    gap = false;
  }
  return path;
}

function nearest(samples, at, step) {
  let best = null;
  for (const sample of samples) {
    if (!best || Math.abs((sample.tick + 0.5) * step - at) < Math.abs((best.tick + 0.5) * step - at)) best = sample;
  }
  return best;
}

/** A round number that is not below the value. */
function nice(value, unit) {
  if (value <= 0) return unit === "seconds" ? 0.1 : 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 2, 4, 6, 8, 10].map((step) => step * power);
  const top = steps.find((step) => step >= value * 1.02) ?? power * 20;
  return unit === "count" ? Math.max(top, 1) : top;
}
