// Keys: arrows move through the cards of a gallery and the stages of a job; `?` lists the keys.
import { moveStage } from "./stages.js";

const FIELDS = "input, select, textarea, [contenteditable], dialog";
const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

function inRow(links, at, way) {
  // the link whose middle is nearest in the next row above (-1) or below (1)
  const boxes = links.map((link) => link.getBoundingClientRect());
  const here = boxes[at], middle = (box) => box.left + box.width / 2;
  const rows = boxes.map((box, i) => [way * (box.top - here.top), i]).filter(([down]) => down > 1);
  const next = Math.min(...rows.map(([down]) => down));
  const row = rows.filter(([down]) => down - next <= 1).map(([, i]) => i);
  const distance = (i) => Math.abs(middle(boxes[i]) - middle(here));
  return row.sort((a, b) => distance(a) - distance(b))[0] ?? at;
}

function moveCard(key) {
  const card = document.activeElement.closest(".card");
  const wall = card ? card.closest(".wall") : document.querySelector(".wall.large");
  const links = [...(wall?.querySelectorAll(".card > a") ?? [])];
  if (!links.length || (!card && key !== "ArrowRight")) return false; // others scroll the page
  const at = links.findIndex((link) => card?.contains(link));
  const to = {
    ArrowLeft: () => at - 1, ArrowRight: () => at + 1, Home: () => 0, End: () => links.length - 1,
    ArrowUp: () => inRow(links, at, -1), ArrowDown: () => inRow(links, at, 1),
  }[key]();
  links[Math.max(0, Math.min(to, links.length - 1))].focus();
  return true;
}

function press(event, list) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest(FIELDS)) return;
  const search = document.querySelector("[type=search]");
  if (event.key === "?") list.showModal();
  else if (event.key === "/" && search) search.focus();
  else if (!MOVES.includes(event.key) || event.shiftKey) return;
  else if (moveCard(event.key)) { /* a card has the focus now */ }
  else if (event.key === "ArrowUp" || event.key === "ArrowDown" || !moveStage(event.key)) return;
  event.preventDefault();
}

export function keys() {
  const list = document.getElementById("keys"), button = document.querySelector("[data-keys]");
  button.hidden = false;
  button.addEventListener("click", () => list.showModal());
  document.addEventListener("keydown", (event) => press(event, list));
}
