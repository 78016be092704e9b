// Takes in what the server tells of this page as it changes.
import { children } from "./morph.js";

function show(part, html, enhance) {
  const piece = document.createElement("template");
  piece.innerHTML = html;
  const focused = part.contains(document.activeElement);
  children(part, piece.content);
  enhance(part);
  if (focused && !part.contains(document.activeElement)) {
    // what had the focus is gone: its section's heading is where a reader goes on
    (part.querySelector("[tabindex='-1']") ?? document.getElementById("main")).focus();
  }
}

export function live(address, enhance) {
  if (!address) return;
  const said = document.getElementById("link");
  const news = new EventSource(address);
  news.addEventListener("part", (event) => {
    const { part, html } = JSON.parse(event.data);
    const place = document.querySelector(`[data-part="${part}"]`);
    if (place) show(place, html, enhance);
  });
  news.onopen = () => { said.textContent = ""; };
  news.onerror = () => {
    said.textContent = said.dataset.said;
    if (news.readyState === EventSource.CLOSED) {
      setTimeout(() => live(address, enhance), 5000); // the server was not there at all
    }
  };
  addEventListener("pagehide", () => news.close(), { once: true });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}
