// Keys: arrows move through the cards of a gallery and the stages of a job; `?` lists the keys.
import { moveStage } from "./job.js";

const FIELDS = "input, select, textarea, [contenteditable], dialog";
const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

function moveCard(key) {
  const card = document.activeElement.closest(".card");
  const wall = card ? card.closest(".wall") : document.querySelector(".wall.large");
  const links = [...(wall?.querySelectorAll(".card > a") ?? [])], last = links.length - 1;
  if (last < 0 || (!card && key !== "ArrowRight")) return false; // other keys scroll the page
  const at = links.findIndex((link) => card?.contains(link));
  const top = (link) => link.getBoundingClientRect().top;
  const inRow = links.filter((link) => Math.abs(top(link) - top(links[0])) < 1).length;
  const to = {
    ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last,
    ArrowUp: at < inRow ? at : at - inRow, ArrowDown: Math.min(at + inRow, last),
  }[key];
  links[Math.max(0, Math.min(to, last))].focus();
  return true;
}

function press(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest(FIELDS)) return;
  const search = document.querySelector("[type=search]");
  if (event.key === "?") document.getElementById("keys").showPopover();
  else if (event.key === "/" && search) search.focus();
  else if (!MOVES.includes(event.key) || event.shiftKey) return;
  else if (moveCard(event.key)) { /* a card has the focus now */ }
  else if (event.key === "ArrowUp" || event.key === "ArrowDown" || !moveStage(event.key)) return;
  event.preventDefault();
}


document.addEventListener("keydown", press);
