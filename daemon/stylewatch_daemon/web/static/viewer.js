// The viewer: a picture that fills the window, with zoom, the photograph over it, and its neighbors.

const MAX_ZOOM = 8, FACTOR = 1.5, CLOSE = 2.5; // CLOSE: by a double tap
const PAN = 80, SWIPE = 60, TAP = 10, TAP_MS = 300; // in pixels, but for the last
const KEYS = { "+": "closer", "=": "closer", "-": "farther", 0: "all", b: "photograph", f: "full",
  ArrowLeft: "previous", ArrowRight: "next" };
const PANS = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };

function neighbors(link) {
  // the pictures that this page has beside that of a link: its cards, or the newer and older job
  const wall = link.closest(".wall");
  if (wall) return [...wall.querySelectorAll("[data-large]")];
  const [newer, older] = ["prev", "next"].map((rel) => document.querySelector(`[data-large][rel=${rel}]`));
  return [newer, link, older].filter(Boolean);
}

function span([first, second = first]) {
  // the middle of one or two fingers, and their distance
  return { left: (first.left + second.left) / 2, top: (first.top + second.top) / 2,
    width: Math.hypot(first.left - second.left, first.top - second.top) || 1 };
}

function within(value, most) {
  return Math.max(-most, Math.min(value, most));
}

export function viewer(dialog) {
  if (!dialog) return;
  const part = (selector) => dialog.querySelector(selector);
  const canvas = part(".canvas"), sheet = part(".sheet"), fingers = new Map();
  let links = [], at = 0, zoom = 1, left = 0, top = 0;
  let drag = 0, path = 0, tapped = 0; // pixels of a swipe, and of any way; when the last tap was
  let isOurs = false; // whether a button, not Escape, ends the full screen

  function zoomTo(wanted, x = 0, y = 0) {
    // the point (x, y) from the middle stays where it is, as far as the picture fills the window
    const next = Math.min(MAX_ZOOM, Math.max(1, wanted)), share = next / zoom;
    zoom = next;
    left = within(x - (x - left) * share, Math.max(0, sheet.offsetWidth * zoom - canvas.clientWidth) / 2);
    top = within(y - (y - top) * share, Math.max(0, sheet.offsetHeight * zoom - canvas.clientHeight) / 2);
    const values = { left: `${left + drag}px`, top: `${top}px`, zoom };
    for (const name in values) sheet.style.setProperty(`--${name}`, values[name]);
  }

  function move(x, y) {
    [left, top] = [left + x, top + y];
    zoomTo(zoom);
  }

  function compare(isOn) {
    const photograph = part(".photograph");
    part("[data-do=photograph]").setAttribute("aria-pressed", isOn);
    photograph.hidden = !isOn;
    if (isOn && !photograph.src) photograph.src = links[at].dataset.photograph;
  }

  function show(number) {
    if (!links[number]) return zoomTo(zoom);
    at = number;
    const { large, page, title, photograph } = links[at].dataset, name = part("a");
    const [painting, over] = [new Image(), new Image()];
    painting.onload = () => {
      if (!painting.isConnected || painting.naturalWidth <= 1) return; // another one is shown, or none yet
      sheet.style.setProperty("--ratio", painting.naturalWidth / painting.naturalHeight);
      if (links[at + 1]) new Image().src = links[at + 1].dataset.large;
    };
    [painting.src, painting.alt] = [large, links[at].querySelector("img")?.alt ?? `${title}, output`];
    [over.alt, over.className] = [`${title}, photograph`, "photograph"];
    sheet.replaceChildren(painting, over);
    [name.href, name.textContent] = [page, title];
    part(".count").textContent = `${at + 1} of ${links.length}`;
    const possible = { photograph, previous: links[at - 1], next: links[at + 1] };
    for (const action in possible) part(`[data-do=${action}]`).setAttribute("aria-disabled", !possible[action]);
    compare(false);
    zoomTo(1);
  }

  const actions = {
    previous: () => show(at - 1), next: () => show(at + 1),
    closer: () => zoomTo(zoom * FACTOR), farther: () => zoomTo(zoom / FACTOR), all: () => zoomTo(1),
    photograph: () => links[at].dataset.photograph && compare(part(".photograph").hidden),
    full: () => {
      isOurs = !!document.fullscreenElement;
      if (isOurs) document.exitFullscreen();
      else part(".screen").requestFullscreen?.().catch(() => {}); // the system may refuse
    },
    close: () => dialog.close(),
  };

  function point({ clientX, clientY }) {
    // from the middle of the window
    const box = canvas.getBoundingClientRect();
    return { left: clientX - box.left - box.width / 2, top: clientY - box.top - box.height / 2 };
  }

  function follow(event) {
    if (!fingers.has(event.pointerId)) return;
    const before = span([...fingers.values()]);
    fingers.set(event.pointerId, point(event));
    const now = span([...fingers.values()]), [x, y] = [now.left - before.left, now.top - before.top];
    path += Math.hypot(x, y);
    drag = fingers.size > 1 || zoom > 1 ? 0 : drag + x;
    move(x, y);
    zoomTo(zoom * now.width / before.width, now.left, now.top);
  }

  function release(event) {
    const { left: x, top: y } = point(event), swipe = event.type === "pointerup" ? drag : 0;
    if (!fingers.delete(event.pointerId) || fingers.size) return;
    const isTap = path < TAP, isSecond = isTap && event.timeStamp - tapped < TAP_MS;
    tapped = isTap && !isSecond ? event.timeStamp : -Infinity;
    drag = 0;
    if (isSecond) zoomTo(zoom > 1 ? 1 : CLOSE, x, y);
    show(Math.abs(swipe) > SWIPE ? at - Math.sign(swipe) : -1);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-large]:has(img)");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    links = neighbors(link);
    dialog.showModal();
    show(links.indexOf(link));
  });
  dialog.addEventListener("click", ({ target }) => actions[target.closest("[data-do]")?.dataset.do]?.());
  dialog.addEventListener("keydown", (event) => {
    const way = zoom > 1 && PANS[event.key], action = actions[KEYS[event.key]];
    if (event.ctrlKey || event.metaKey || event.altKey || !(way || action)) return;
    event.preventDefault();
    if (way) move(...way);
    else action();
  });
  dialog.addEventListener("close", () => {
    const giveFocusBack = () => (links[at].isConnected ? links[at] : document.getElementById("main")).focus();
    if (document.fullscreenElement) document.exitFullscreen().then(giveFocusBack, giveFocusBack);
    else giveFocusBack();
    sheet.replaceChildren();
  });
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement && !isOurs) dialog.close(); // Escape
  });
  canvas.addEventListener("wheel", (event) => {
    const { left: x, top: y } = point(event), notch = event.ctrlKey ? 100 : 400; // ctrlKey: a pinch
    event.preventDefault();
    zoomTo(zoom * Math.exp(-event.deltaY / notch), x, y);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, point(event));
    path = fingers.size > 1 ? TAP : 0;
  });
  canvas.addEventListener("pointermove", follow);
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, release);
  part("[data-do=full]").hidden = !document.fullscreenEnabled;
}
