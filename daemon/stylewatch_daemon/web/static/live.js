// Updates the parts of this page as the server sends them.
import { children } from "./morph.js";

function show(part, html, enhance) {
  const piece = document.createElement("template");
  piece.innerHTML = html;
  const focused = part.contains(document.activeElement);
  children(part, piece.content);
  enhance(part);
  if (focused && !part.contains(document.activeElement)) {
    // the focused element is gone: go on at the heading of its section
    (part.querySelector("[tabindex='-1']") ?? document.getElementById("main")).focus();
  }
}

export function live(address, enhance) {
  if (!address) return;
  const status = document.getElementById("link");
  const source = new EventSource(address);
  source.addEventListener("part", (event) => {
    const { part, html } = JSON.parse(event.data);
    const place = document.querySelector(`[data-part="${part}"]`);
    if (place) show(place, html, enhance);
  });
  source.onopen = () => { status.textContent = ""; };
  source.onerror = () => {
    status.textContent = status.dataset.lost;
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => live(address, enhance), 5000); // browsers give up where there is no server
    }
  };
  addEventListener("pagehide", () => source.close(), { once: true });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}
