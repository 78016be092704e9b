// The pictures of a job: the content image over the output, and stages in place of the output.

const EACH_MS = 350;

let timer = 0, isFollowing = true; // true if new stages are shown as they arrive

const part = (selector) => document.querySelector(`[data-stages] ${selector}`);
const slider = () => part("[data-controls] input");
const links = () => [...document.querySelectorAll("[data-stages] [data-step]")];

function show(at) {
  const all = links(), link = all[at];
  isFollowing = at === all.length - 1;
  slider().value = at;
  slider().setAttribute("aria-valuetext", link.dataset.label);
  part("[data-at]").textContent = link.dataset.label;
  for (const other of all) other.setAttribute("aria-current", other === link);
  const strip = link.closest("ul");
  const [room, box] = [strip, link].map((element) => element.getBoundingClientRect());
  if (box.left < room.left || box.right > room.right) {
    strip.scrollLeft += box.left + box.width / 2 - room.left - room.width / 2;
  }
  const image = part(".after img"), caption = part(".after figcaption");
  if (image.src !== link.href) image.src = link.href;
  image.alt = link.dataset.alt;
  caption.textContent = isFollowing ? caption.dataset.last : link.dataset.label;
  const from = part("[data-from]");
  if (from && !isFollowing) from.value = link.dataset.step; // the last stage is no option
  if (all[at + 1]) new Image().src = all[at + 1].href; // preload the next stage
}

function play(isOn) {
  clearInterval(timer);
  timer = isOn ? setInterval(next, EACH_MS) : 0;
  const button = part("[data-play]");
  button.textContent = isOn ? "Stop" : "Play";
  button.setAttribute("aria-pressed", isOn);
}

function next() {
  if (!part(".after img").complete) return; // on a slow connection, wait and skip no stage
  if (isFollowing) play(false);
  else show(Number(slider().value) + 1);
}

export function stages() {
  // adapts the controls and the shown picture to the stages on the page
  const last = links().length - 1;
  if (last < 0) return;
  slider().max = last;
  if (isFollowing && !timer) show(last);
  else show(Number(slider().value));
}

export function moveStage(key) {
  // shows another stage; returns false if this page has no stages
  if (!slider()) return false;
  const at = Number(slider().value), last = links().length - 1;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[key];
  play(false);
  show(Math.max(0, Math.min(to, last)));
  return true;
}

document.addEventListener("input", ({ target }) => {
  if (target.matches(".share input")) {
    target.closest("[data-compare]").style.setProperty("--at", `${target.value}%`);
  }
  if (target !== slider()) return;
  play(false);
  show(Number(target.value));
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-step]"), button = event.target.closest("[data-play]");
  if (button) {
    if (!timer) show(0);
    play(!timer);
  }
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  play(false);
  show(links().indexOf(link));
});
