// Asks again for small pictures that were still being made: a blank came in their place, of 1 x 1.

const AGAIN_MS = 2500, TRIES = 12;

const tried = new WeakMap();

function again(image) {
  const tries = tried.get(image) + 1;
  if (tries > TRIES) return;
  tried.set(image, tries);
  const address = image.getAttribute("src").split("&again=")[0];
  setTimeout(() => { image.src = `${address}&again=${tries}`; }, AGAIN_MS);
}

export function retry(part) {
  for (const image of part.querySelectorAll("img[src*='/small/']")) {
    if (tried.has(image)) continue;
    tried.set(image, 0);
    const look = () => { if (image.naturalWidth === 1) again(image); };
    image.addEventListener("load", look);
    if (image.complete) look();
  }
}
