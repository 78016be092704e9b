// Shows the stages in place of the output, by a slider or as an animation. While the last one is
// shown, new ones are too.

const EACH_MS = 350;

class Stages {
  constructor(section) {
    this.section = section;
    this.slider = section.querySelector("[data-controls] input");
    this.button = section.querySelector("[data-play]");
    this.image = section.querySelector(".after img");
    this.caption = section.querySelector(".after figcaption");
    this.following = true;
    this.slider.addEventListener("input", () => { this.stop(); this.show(); });
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    section.addEventListener("click", (event) => this.pick(event));
  }

  get links() { return [...this.section.querySelectorAll("[data-step]")]; }

  refresh() {
    const last = this.links.length - 1;
    this.section.querySelector("[data-controls]").hidden = last < 0;
    this.slider.max = last;
    if (this.following && !this.timer) this.slider.value = last;
    if (last >= 0) this.show();
    if (!this.timer) this.label("Play", "false");
  }

  show() {
    const links = this.links, at = Number(this.slider.value), link = links[at];
    this.following = at === links.length - 1;
    for (const other of links) {
      if (other === link) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    const strip = link.closest("ul");
    const [room, box] = [strip, link].map((element) => element.getBoundingClientRect());
    if (box.left < room.left || box.right > room.right) {
      strip.scrollLeft += box.left + box.width / 2 - room.left - room.width / 2;
    }
    if (this.image.src !== link.href) this.image.src = link.href;
    this.image.alt = link.dataset.alt;
    this.caption.textContent = this.following ? this.caption.dataset.last : link.dataset.label;
    const from = this.section.querySelector("[data-from]");
    if (from) {
      from.hidden = this.following; // nothing is left to do after the last stage
      from.elements.from_stage.value = link.dataset.step;
    }
    this.slider.setAttribute("aria-valuetext", link.dataset.label);
    this.section.querySelector("[data-at]").textContent = link.dataset.label;
    if (links[at + 1]) new Image().src = links[at + 1].href; // load the next one ahead
  }

  move(key) {
    this.stop();
    const last = this.links.length - 1, at = Number(this.slider.value);
    this.slider.value = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[key];
    this.show();
  }

  pick(event) {
    const link = event.target.closest("[data-step]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.stop();
    this.slider.value = this.links.indexOf(link);
    this.show();
  }

  play() {
    this.slider.value = 0;
    this.show();
    this.timer = setInterval(() => this.next(), EACH_MS);
    this.label("Stop", "true");
  }

  next() {
    if (!this.image.complete) return; // a slow connection: skip no stage
    if (Number(this.slider.value) >= this.links.length - 1) { this.stop(); return; }
    this.slider.value = Number(this.slider.value) + 1;
    this.show();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.label("Play", "false");
  }

  label(text, pressed) {
    this.button.textContent = text;
    this.button.setAttribute("aria-pressed", pressed);
  }
}

const known = new WeakMap();

export function moveStage(key) {
  // true if this page has stages to move through
  const section = document.querySelector("[data-stages]");
  known.get(section)?.move(key);
  return known.has(section);
}

export function stages(part) {
  for (const section of part.querySelectorAll("[data-stages]")) {
    if (!known.has(section)) known.set(section, new Stages(section));
    known.get(section).refresh();
  }
}
