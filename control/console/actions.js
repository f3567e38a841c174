// Everything that can be done, each with what it will do said first.

import { ask, at } from "./live.js";
import { confirm } from "./dialog.js";
import { count, duration, who, byName } from "./words.js";

const workers = (deployment) => Object.values(deployment.workers ?? {});
const ready = (deployment) => workers(deployment).filter((worker) => worker.state === "ready").length;
const number = (words, min, max) => {
  const value = Number(words);
  if (words === "" || !Number.isInteger(value) || value < min || value > max) throw new Error(`A whole number from ${min} to ${max}, not "${words}".`);
  return value;
};

/** A change of traffic: the program itself says what it would do. */
function traffic(service, method, page, body) {
  return async () => {
    const told = await ask(method, at(service.name, page), { ...body, dry_run: true });
    const before = told.change?.before ?? {};
    return {
      words: told.change ? `What it comes to: ${told.change.done}. The weights, each in relation to the others:` : "Nothing would change.",
      rows: told.deployments.map(({ name, weight }) => [name, before[name] ?? weight, weight]),
      warning: told.change?.needs_force,
      force: told.change?.needs_force,
      run: (said) => ask(method, at(service.name, page), { ...body, ...said }),
    };
  };
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const changed = (told) => told?.change ? `${capital(told.change.done)}.` : undefined;
const deployed = (told) => told?.done?.length ? `${capital(told.done.join("; "))}.` : undefined;

export function weights(service) {
  const all = Object.values(service.deployments).sort((a, b) => byName(a.name, b.name));
  confirm({
    title: `Weights of ${service.name}`, action: "Set the weights", done: changed,
    fields: all.map(({ name, weight }) => ({ name, label: name, kind: "number", min: 0, max: 1000000, value: weight })),
    preview: (values) => {
      const wanted = Object.fromEntries(Object.entries(values).map(([name, words]) => [name, number(words, 0, 1000000)]));
      return traffic(service, "PUT", "weights", { weights: wanted })();
    },
  });
}

export function followFile(service) {
  confirm({ title: `Weights of ${service.name} as in the file`, action: "Follow the file", done: changed, preview: traffic(service, "DELETE", "weights", {}) });
}

export function promote(service, deployment) {
  confirm({ title: `Promote ${service.name}/${deployment.name}`, action: "Give it all traffic", done: changed, preview: traffic(service, "POST", "promote", { deployment: deployment.name }) });
}

export function rollback(service) {
  confirm({ title: `Roll ${service.name} back`, action: "Roll back", done: changed, preview: traffic(service, "POST", "rollback", {}) });
}

export function rollout(service, deployment, action) {
  const words = { pause: "Pause the rollout", resume: "Resume the rollout", restart: "Begin the rollout anew" };
  confirm({ title: `${words[action]} of ${service.name}/${deployment.name}`, action: words[action], done: changed, preview: traffic(service, "POST", "rollout", { action, deployment: deployment.name }) });
}

/** Pauses a service, or one of its deployments. */
export function pause(service, deployment) {
  const name = deployment ? `${service.name}/${deployment.name}` : service.name;
  const all = deployment ? [deployment] : Object.values(service.deployments);
  const running = all.flatMap(workers).length;
  const busy = all.reduce((sum, one) => sum + one.in_flight, 0);
  const queued = all.reduce((sum, one) => sum + one.queued, 0);
  const page = deployment ? at(service.name, "deployments", encodeURIComponent(deployment.name), "pause") : at(service.name, "pause");
  confirm({
    title: `Pause ${name}`, action: "Pause", done: () => `${name} is paused.`,
    fields: [{ name: "expires", label: "Until", kind: "choice", options: [["", "somebody resumes it"], ["900", "15 minutes from now"], ["3600", "1 hour from now"], ["7200", "2 hours from now"], ["28800", "8 hours from now"], ["86400", "tomorrow at this time"]] }],
    preview: ({ expires }) => ({
      words: `New requests are refused with 503 "paused"${deployment ? ", unless another deployment takes them" : ""}. `
        + `${running ? `${count(running, "worker")} ${running === 1 ? "is" : "are"} stopped when ${busy ? `the ${count(busy, "request")} in flight ${busy === 1 ? "has" : "have"} finished` : "idle, which is now"}.` : "There is no worker to stop."} URL and settings stay.`,
      rows: [["Workers", running, 0], ["Takes requests", all.some((one) => one.paused) || service.paused ? "no" : "yes", expires ? `no, for ${duration(Number(expires))}` : "no"]],
      warning: queued ? `${count(queued, "request waits", "requests wait")} in the queue and will be refused.` : null,
      run: (said) => ask("POST", page, { ...plain(said), ...(expires ? { expires: Number(expires) } : {}) }),
    }),
  });
}

export function resume(service, deployment) {
  const name = deployment ? `${service.name}/${deployment.name}` : service.name;
  const paused = deployment ? deployment.paused : service.paused;
  const page = deployment ? at(service.name, "deployments", encodeURIComponent(deployment.name), "pause") : at(service.name, "pause");
  const all = deployment ? [deployment] : Object.values(service.deployments);
  const min = all.reduce((sum, one) => sum + one.min, 0);
  confirm({
    title: `Resume ${name}`, action: "Resume", done: () => `${name} takes requests again.`,
    preview: () => ({
      words: `It was paused${who(paused ?? {})}. It takes requests again; ${min ? `${count(min, "worker")} ${min === 1 ? "is" : "are"} started at once` : "workers are started when somebody asks"}.`,
      rows: [["Takes requests", "no", "yes"]],
      run: (said) => ask("DELETE", page, plain(said)),
    }),
  });
}

const plain = ({ by, reason }) => ({ by, reason });
const of = (service, deployment, ...rest) => at(service.name, "deployments", encodeURIComponent(deployment.name), ...rest);

export function scale(service, deployment) {
  const name = `${service.name}/${deployment.name}`;
  confirm({
    title: `Scale ${name}`, action: "Set this number", done: deployed,
    fields: [{ name: "workers", label: "Workers", kind: "number", min: 0, max: 10000, value: deployment.desired, hint: `The rules may go from ${deployment.min} to ${deployment.max}.` }],
    preview: ({ workers: words }) => {
      const wanted = number(words, 0, 10000), now = deployment.desired;
      const change = wanted > now ? `${count(wanted - now, "worker")} more ${wanted - now === 1 ? "is" : "are"} started`
        : wanted < now ? `${count(now - wanted, "worker")} ${now - wanted === 1 ? "is" : "are"} stopped, each when its requests have finished` : "No worker is started or stopped";
      return {
        words: `${change}. The number stays until somebody changes it or lets the rules decide again: load does not change it.`,
        rows: [["Workers", now, wanted], ["Decided by", deployment.scaled ? "hand" : "the rules", "hand"]],
        warning: wanted === 0 && deployment.in_flight + deployment.queued ? "Requests that come while there is no worker wait in the queue until they are refused." : null,
        run: (said) => ask("POST", of(service, deployment, "scale"), { workers: wanted, ...plain(said) }),
      };
    },
  });
}

export function scaleByRules(service, deployment) {
  confirm({
    title: `Let the rules scale ${service.name}/${deployment.name}`, action: "Let the rules decide", done: deployed,
    preview: () => ({
      words: `The number of workers was set by hand${who(deployment.scaled ?? {})}. From now on the rules decide, from ${deployment.min} to ${deployment.max}.`,
      rows: [["Decided by", "hand", "the rules"], ["Workers", deployment.desired, deployment.advice?.workers ?? "as the load asks for"]],
      run: (said) => ask("DELETE", of(service, deployment, "scale"), plain(said)),
    }),
  });
}

export function restart(service, deployment) {
  const all = workers(deployment).length;
  confirm({
    title: `Restart ${service.name}/${deployment.name}`, action: "Restart", done: deployed,
    preview: () => ({
      words: `${all === 1 ? "Its worker is" : `All ${all} workers are`} replaced by others that run the same revision, as many at a time as "update" in the file allows. A worker goes only when its requests have finished${deployment.start_estimate ? `; a start takes about ${duration(deployment.start_estimate)}` : ""}.`,
      rows: [["Revision", deployment.revision ?? "–", deployment.revision ?? "–"], ["Workers that are replaced", "–", all]],
      warning: ready(deployment) === 0 && all > 0 ? "None of them is ready at the moment." : null,
      run: (said) => ask("POST", of(service, deployment, "restart"), plain(said)),
    }),
  });
}

/** Goes to another revision. `revisions` are those that are kept. */
export function switchTo(service, deployment, revisions, to) {
  const others = revisions.filter((revision) => !revision.in_force);
  confirm({
    title: `Switch ${service.name}/${deployment.name}`, action: "Switch", done: deployed,
    fields: [{ name: "revision", label: "Revision", kind: "choice", value: String(to ?? others[0]?.number ?? ""), options: others.map(({ number, at_ms }) => [String(number), `${number}, of ${new Date(at_ms).toLocaleString("en-GB")}`]) }],
    preview: ({ revision }) => {
      const wanted = number(revision, 1, Number.MAX_SAFE_INTEGER);
      const newer = revisions.filter((one) => one.number > Math.min(wanted, deployment.revision) && one.number <= Math.max(wanted, deployment.revision));
      const differences = newer.flatMap((one) => one.difference);
      return {
        words: `Workers are replaced by others that run revision ${wanted}, step by step, and it stays so until somebody switches back to the file. What is different: ${differences.join("; ") || "nothing that is known"}.`,
        rows: [["Revision", deployment.revision, wanted], ["Workers that are replaced", "–", workers(deployment).filter((worker) => worker.revision !== wanted).length]],
        run: (said) => ask("POST", of(service, deployment, "switch"), { revision: wanted, ...plain(said) }),
      };
    },
  });
}

export function switchBack(service, deployment, ofFile) {
  confirm({
    title: `Switch ${service.name}/${deployment.name} to the file's revision`, action: "Follow the file", done: deployed,
    preview: () => ({
      words: `Revision ${deployment.switched?.value ?? deployment.revision} was chosen by hand${who(deployment.switched ?? {})}. Workers are replaced by others that run what the file says, step by step.`,
      rows: [["Revision", deployment.revision, ofFile ?? "that of the file"]],
      run: (said) => ask("DELETE", of(service, deployment, "switch"), plain(said)),
    }),
  });
}

export function drain(service, deployment, worker) {
  confirm({
    title: `Drain worker ${worker.slot} of ${service.name}/${deployment.name}`, action: "Drain it", done: deployed,
    preview: () => ({
      words: `It gets no new request and is ended ${worker.in_flight ? `when its ${count(worker.in_flight, "request")} ${worker.in_flight === 1 ? "has" : "have"} finished, or when drain_timeout is over` : "at once, for it has no request"}. Another one is started in its place if ${count(deployment.desired, "worker")} ${deployment.desired === 1 ? "is" : "are"} still wanted.`,
      rows: [[`Worker ${worker.slot}`, worker.state.replaceAll("_", " "), "draining, then gone"]],
      warning: worker.state === "ready" && ready(deployment) === 1 ? "It is the only one that is ready: requests wait until another one is." : null,
      run: (said) => ask("POST", of(service, deployment, "workers", worker.slot, "drain"), plain(said)),
    }),
  });
}

export function reload(state) {
  confirm({
    title: "Reload the configuration", action: "Reload", done: () => "The configuration was read and is in force.",
    preview: () => ({
      words: "The file and what it includes are read again, which also happens by itself when they change. A file with an error changes nothing, and the errors are shown here. Deployments whose workers would run something else get a new revision.",
      rows: state.config ? [["In force since", new Date(state.config.loaded_at_ms).toLocaleString("en-GB"), "now, if anything changed"]] : [],
      warning: state.config?.last_error ? `The last attempt failed: ${state.config?.last_error}` : null,
      run: (said) => ask("POST", "/api/v1/reload", plain(said)),
    }),
  });
}
