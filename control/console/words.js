// Numbers, times and states in words.

const DASH = "–";

/** Three figures at most. */
export function number(value) {
  if (value == null || Number.isNaN(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return `${figures(value / 1e6)} M`;
  if (size >= 1e4) return `${figures(value / 1e3)} k`;
  return figures(value);
}

function figures(value) {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  if (size >= 10) return value.toFixed(1);
  return size >= 0.01 ? value.toFixed(2) : value.toPrecision(1);
}

/** A duration of so many seconds, as precise as it is long. */
export function duration(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return DASH;
  if (seconds < 0) return "0 s";
  if (seconds < 0.001) return "<1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** How long something has been, from milliseconds since 1970. */
export function since(at) {
  return at == null ? DASH : duration(Math.max(0, (Date.now() - at) / 1000));
}

export function ago(at) {
  return `${since(at)} ago`;
}

/** The time of day; with the date, where that is another one. */
export function clock(at) {
  if (at == null) return DASH;
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

export function bytes(count) {
  return count < 1024 ? `${count} bytes` : count < 1 << 20 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / (1 << 20)).toFixed(1)} MiB`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** Two numbers as a range, or as one where they are equal. */
export function range(min, max) {
  return min === max ? `${min}` : `${min}${DASH}${max}`;
}

// How bad a state is, and the sign before it: the colour never stands alone.
const TONES = {
  warm: "good", ready: "good", done: "good", running: "busy", starting: "busy", draining: "busy",
  stopping: "busy", waking: "busy", falling_asleep: "busy", waiting: "warn", degraded: "warn", not_ready: "warn", rolled_back: "warn", stopped: "warn",
  failed: "bad", gone: "bad", paused: "off", cold: "off", asleep: "off", free: "off",
};
const SIGNS = { good: "●", busy: "◐", warn: "▲", bad: "✕", off: "○" };

export function tone(state) {
  return TONES[state] ?? "busy";
}

export function sign(state) {
  return SIGNS[tone(state)];
}

export function stateWord(state) {
  return String(state ?? "unknown").replaceAll("_", " ");
}

/** Who did something and why, as far as they said. */
export function who(told) {
  const by = told.by ? ` by ${told.by}` : "";
  const why = told.reason ? `: ${told.reason}` : "";
  return `${by}${why}`;
}

/** Names as people sort them: 2 before 10. */
export const byName = new Intl.Collator("en", { numeric: true }).compare;

/** All deployments of a state with their services. */
export function deployments(state) {
  return Object.values(state.services).flatMap((service) =>
    Object.values(service.deployments).map((deployment) => ({ service, deployment })));
}
