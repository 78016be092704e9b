// The pictures of a job: the photograph over the output, and stages in place of the output.

let step = Infinity; // of the shown stage; infinite while new stages are shown as they arrive

const part = (selector) => document.querySelector(`[data-stages] ${selector}`);
const slider = () => part("[data-controls] input");
const links = () => [...document.querySelectorAll("[data-stages] [data-step]")];

function show(at) {
  const all = links(), link = all[at], isLast = at === all.length - 1;
  step = isLast ? Infinity : Number(link.dataset.step);
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
  image.parentElement.href = image.src; // the viewer shows the same stage
  if (image.parentElement.dataset.large) image.parentElement.dataset.large = image.src;
  caption.textContent = isLast ? caption.dataset.last : link.dataset.label;
  const from = part("[data-from]");
  if (from && !isLast) from.value = link.dataset.step; // the last stage is no option
}

export function fit() {
  // gives the picture the width of the page, as far as its height leaves that
  const image = document.querySelector(".after img");
  if (!image?.complete || image.naturalWidth <= 1) return; // a preview that is being made
  image.closest(".pair").style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
}

export function stages() {
  // adapts the controls and the shown picture to the stages on the page
  const all = links(), at = all.findIndex((link) => Number(link.dataset.step) >= step);
  if (!all.length) return;
  slider().max = all.length - 1;
  show(at < 0 ? all.length - 1 : at);
}

document.addEventListener("input", ({ target }) => {
  if (target.matches(".share input")) {
    target.closest("[data-compare]").style.setProperty("--at", `${target.value}%`);
  }
  if (target === slider()) show(Number(target.value));
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-step]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(links().indexOf(link));
});
