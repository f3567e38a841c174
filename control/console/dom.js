// Making and changing elements. Text is only ever set as text: nothing that comes from outside becomes markup.

/** Makes an element. `what` is a tag with classes, as in "td.number"; `props` are attributes and `on…` handlers. */
export function h(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, value);
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Sets the text of an element, if it is another one. */
export function text(node, value) {
  const wanted = value == null ? "" : String(value);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Sets or takes away an attribute, if it is another one. */
export function attr(node, name, value) {
  if (value == null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const wanted = value === true ? "" : String(value);
    if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
  }
}

/** Shows or hides an element. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/**
 * Makes the children of `parent` those of `items`: an element that is there stays, with its focus, and is
 * updated. `make(item)` makes one, with a function `update(item)` on it if it can change.
 */
export function keyed(parent, items, key, make) {
  const known = parent.known ??= new Map();
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    if (wanted.has(name)) continue;
    wanted.add(name);
    let node = known.get(name);
    if (!node) known.set(name, node = make(item));
    node.update?.(item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [name, node] of known) {
    if (wanted.has(name)) continue;
    // The focus is not lost to the top of the page with what is gone.
    if (node.contains(document.activeElement)) document.getElementById("page").focus();
    node.remove();
    known.delete(name);
  }
}

/** A part of a page with a heading. */
export function section(title, ...children) {
  const id = `part-${++parts}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), ...children);
}
let parts = 0;

/** Says something to those who do not see it. Sparingly. */
export function say(words) {
  text(document.getElementById("said"), words);
}

/** Replaces all children. */
export function put(node, ...children) {
  node.replaceChildren();
  node.known = undefined;
  add(node, children);
  return node;
}
