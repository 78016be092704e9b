// Makes one piece of the page as another, changing no more than differs: what has the focus keeps
// it, what is open stays open, a picture that is there already is not fetched again.

const OURS = ["open", "hidden", "style"]; // attributes that scripts, or people, set

function alike(one, other) {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  if (one.nodeType !== Node.ELEMENT_NODE) return true;
  return one.dataset.key === other.dataset.key && one.id === other.id;
}

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !OURS.includes(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (OURS.includes(name)) continue;
    const had = from.getAttribute(name);
    if (name === "src" && had?.split("&again=")[0] === value) continue; // see blanks.js
    if (had !== value) from.setAttribute(name, value);
  }
}

function one(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.hasAttribute("data-own")) return; // a script's alone
  attributes(from, to);
  children(from, to);
}

export function children(from, to) {
  let here = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let found = here;
    while (found && !alike(found, wanted)) found = found.nextSibling;
    if (!found) {
      from.insertBefore(wanted, here);
      continue;
    }
    while (here !== found) {
      const gone = here;
      here = here.nextSibling;
      gone.remove();
    }
    here = found.nextSibling;
    one(found, wanted);
  }
  while (here) {
    const gone = here;
    here = here.nextSibling;
    gone.remove();
  }
}
