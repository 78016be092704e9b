// Makes the page live. Without scripts, everything can be read and all forms work.
import { jobForm } from "./form.js";
import { fit, stages } from "./job.js";
import { live } from "./live.js";
import { enable, hasEnded, logIn } from "./session.js";
import { tries } from "./tries.js";
import { viewer } from "./viewer.js";

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const RETRY_MS = 2500, TRIES = 12; // for a preview

function enhance(part) {
  for (const time of part.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) time.textContent = TIME.format(at);
  }
  stages();
  fit();
}

function reload({ target: image }) {
  // requests a preview again if it is still being made: then the server sends a blank 1 x 1 picture
  if (image.naturalWidth !== 1) return;
  const [address, tries = 0] = image.getAttribute("src").split(/[?&]again=/);
  if (Number(tries) >= TRIES) return;
  setTimeout(() => {
    const is_same = image.getAttribute("src").startsWith(address);
    const mark = address.includes("?") ? "&" : "?";
    if (is_same) image.src = `${address}${mark}again=${Number(tries) + 1}`;
  }, RETRY_MS);
}

async function copy({ target: button }) {
  const text = button.previousElementSibling;
  if (!text?.matches("[data-copy]")) return;
  getSelection().selectAllChildren(text); // for Ctrl+C: without HTTPS there is no clipboard
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch { button.textContent = "Press Ctrl+C"; }
}

async function submit(event) {
  // asks before the request, and disables the button, so that a double click is one request
  const { submitter: button, target: form } = event, question = form.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
  if (event.defaultPrevented || form.method !== "post") return;
  button.disabled = true;
  addEventListener("pageshow", () => { button.disabled = false; }, { once: true }); // came back
  if (form.matches("#login-form, #pair-form")) return;
  event.preventDefault();
  if (await hasEnded() && !(await logIn())) enable(button);
  else form.submit();
}

function pair(form) {
  // sends the code of the address, which is removed from there: it is valid once
  const code = location.hash.slice(1);
  if (!form || !code) return;
  history.replaceState(null, "", location.pathname);
  form.elements.code.value = decodeURIComponent(code);
  form.requestSubmit(form.querySelector("button")); // disables it
}

document.documentElement.classList.add("live");
document.addEventListener("load", reload, true);
document.addEventListener("load", fit, true);
for (const image of document.images) if (image.complete) reload({ target: image });
document.addEventListener("click", copy);
document.addEventListener("submit", submit);
const zone = document.querySelector("[data-zone]"), again = document.querySelector("[data-again]");
if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
if (again) setTimeout(() => location.reload(), 1000 * again.dataset.again);
jobForm(document.getElementById("upload"));
viewer(document.getElementById("viewer"));
tries(document.querySelector("[data-tries]"));
enhance(document);
live(document.body.dataset.events, enhance);
pair(document.getElementById("pair-form"));
