// Updates the parts of this page as the server sends them. Only nodes that differ are changed: the
// focus and open details stay as they are, and pictures on the page are not fetched again.
import { logIn } from "./session.js";

const KEPT = ["open", "hidden", "style"]; // attributes that scripts or users set

function matches(old, other) {
  if (old.nodeType !== other.nodeType || old.nodeName !== other.nodeName) return false;
  if (old.nodeType !== Node.ELEMENT_NODE) return true;
  return old.dataset.key === other.dataset.key && old.id === other.id;
}

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !KEPT.includes(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (KEPT.includes(name)) continue;
    const had = from.getAttribute(name);
    if (name === "src" && had?.split(/[?&]again=/)[0] === value) continue; // a retry by page.js
    if (had !== value) from.setAttribute(name, value);
  }
}

function update(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.hasAttribute("data-own")) return; // only scripts change it
  attributes(from, to);
  children(from, to);
}

function without(node) {
  // removes a node; returns the one after it
  const next = node.nextSibling;
  node.remove();
  return next;
}

function children(from, to) {
  let here = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let match = here;
    while (match && !matches(match, wanted)) match = match.nextSibling;
    if (!match) from.insertBefore(wanted, here);
    else {
      while (here !== match) here = without(here);
      here = match.nextSibling;
      update(match, wanted);
    }
  }
  while (here) here = without(here);
}

function show(part, html, enhance) {
  const piece = document.createElement("template");
  piece.innerHTML = html;
  const focused = part.contains(document.activeElement);
  children(part, piece.content);
  enhance(part);
  if (focused && !part.contains(document.activeElement)) {
    // the focused element was removed: focus the heading of its section
    (part.querySelector("[tabindex='-1']") ?? document.getElementById("main")).focus();
  }
}

let source;

function connect(address, enhance) {
  const status = document.getElementById("link");
  source?.close();
  if (document.hidden) return; // browsers open six connections to a host, for all tabs together
  source = new EventSource(address);
  source.addEventListener("part", (event) => {
    const { part, html } = JSON.parse(event.data);
    const place = document.querySelector(`[data-part="${part}"]`);
    if (place) show(place, html, enhance);
  });
  source.addEventListener("gone", () => { source.close(); location.reload(); }); // its job was deleted
  source.onopen = () => { status.textContent = ""; };
  source.onerror = () => {
    status.textContent = status.dataset.lost;
    if (source.readyState === EventSource.CLOSED) { // refused, or the browser has given up
      setTimeout(() => again(address, enhance), 5000);
    }
  };
}

async function again(address, enhance) {
  // connects again; if the session is gone, after a login; if the job is, the page is loaded
  const { status } = await fetch(location.href).catch(() => ({}));
  if (status === 404) location.reload();
  else if (status !== 401 || await logIn()) connect(address, enhance);
}

export function live(address, enhance) {
  if (!address) return;
  connect(address, enhance);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source?.close();
    else connect(address, enhance);
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) again(address, enhance); });
}
