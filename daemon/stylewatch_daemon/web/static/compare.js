// Lays the content image over the output; a slider (mouse, touch or keys) sets how much is visible.

const wired = new WeakSet();

export function compare(part) {
  for (const pair of part.querySelectorAll("[data-compare]")) {
    const share = pair.querySelector(".share"), handle = share?.querySelector("input");
    if (!handle) continue;
    const show = () => {
      pair.style.setProperty("--at", `${handle.value}%`);
      pair.classList.toggle("whole", handle.value === "0");
    };
    pair.classList.add("live");
    share.hidden = false;
    show();
    if (wired.has(pair)) continue;
    wired.add(pair);
    handle.addEventListener("input", show);
    const point = (event) => {
      if (share.contains(event.target) || !(event.buttons & 1)) return;
      const box = pair.getBoundingClientRect();
      handle.value = (100 * (event.clientX - box.left)) / box.width;
      show();
    };
    pair.addEventListener("pointerdown", point);
    pair.addEventListener("pointermove", point);
    pair.addEventListener("dragstart", (event) => event.preventDefault());
  }
}
