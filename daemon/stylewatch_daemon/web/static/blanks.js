// Reloads previews that were still being made: a blank of 1 x 1 pixel came in their place.

const RETRY_MS = 2500, TRIES = 12;

const tried = new WeakMap();

function reload(image) {
  const tries = tried.get(image) + 1;
  if (tries > TRIES) return;
  tried.set(image, tries);
  const address = image.getAttribute("src").split("&again=")[0];
  setTimeout(() => { image.src = `${address}&again=${tries}`; }, RETRY_MS);
}

export function retry(part) {
  for (const image of part.querySelectorAll("img[src*='/small/']")) {
    if (tried.has(image)) continue;
    tried.set(image, 0);
    const check = () => { if (image.naturalWidth === 1) reload(image); };
    image.addEventListener("load", check);
    if (image.complete) check();
  }
}
