// Accepts files that are dropped anywhere on the page, shows them, and uploads them.

const MAX_SHOWN = 3; // pictures in a field

function show(well) {
  const input = well.querySelector("input"), hint = well.querySelector(".hint");
  const files = [...input.files];
  well.dataset.hint ??= hint.textContent;
  for (const image of well.querySelectorAll(".shots img")) URL.revokeObjectURL(image.src);
  well.querySelector(".shots")?.remove();
  well.classList.toggle("full", files.length > 0);
  hint.textContent = files.map((file) => file.name).join(", ") || well.dataset.hint;
  if (!files.length) return;
  const shots = document.createElement("div");
  shots.className = "shots";
  for (const file of files.slice(0, MAX_SHOWN)) {
    const image = document.createElement("img");
    image.alt = "";
    image.onerror = () => image.remove(); // a format that this browser does not support
    image.src = URL.createObjectURL(file);
    shots.append(image);
  }
  well.append(shots);
}

function put(well, files) {
  const input = well.querySelector("input"), chosen = new DataTransfer();
  for (const file of input.multiple ? files : files.slice(0, 1)) chosen.items.add(file);
  input.files = chosen.files;
  show(well);
}

function spread(wells, files, over) {
  // files that were dropped outside of the fields: the content image first, then the styles
  if (over) { put(over, files); return; }
  const empty = wells.filter((well) => !well.querySelector("input").files.length);
  const [first, second] = empty.length ? empty : wells;
  put(first, second ? files.slice(0, 1) : files);
  if (second && files.length > 1) put(second, files.slice(1));
}

async function send(form) {
  const answer = await fetch(form.action, {
    method: "POST", body: new FormData(form), headers: { Accept: "application/json" },
  });
  const result = await answer.json().catch(() => ({}));
  const mistake = mark(form, result.mistakes ?? {});
  if (!answer.ok) throw new Error(mistake ?? result.error ?? `the upload failed (${answer.status})`);
  return result;
}

function mark(form, mistakes) {
  // each mistake beside its control; the first one gets the focus, and is returned with its name
  let first = null;
  for (const text of form.querySelectorAll("[data-mistake]")) {
    const name = text.dataset.mistake, mistake = mistakes[name] ?? "";
    text.textContent = mistake;
    text.hidden = !mistake;
    const control = form.elements[name];
    control?.setAttribute?.("aria-invalid", mistake ? "true" : "false");
    if (!mistake) continue;
    text.closest("details")?.setAttribute("open", "");
    if (first) continue;
    first = [control?.labels?.[0]?.firstChild.textContent.trim(), mistake].filter(Boolean).join(": ");
    (control?.focus ? control : text).scrollIntoView({ block: "center" });
    control?.focus?.({ preventScroll: true });
  }
  return first;
}

export function drop(form) {
  if (!form) return;
  const wells = [...form.querySelectorAll("[data-well]")];
  const message = form.querySelector("#message"), button = form.querySelector("button.main");
  for (const well of wells) well.querySelector("input").addEventListener("change", () => show(well));

  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    const over = event.target.closest?.("[data-well]");
    for (const well of wells) well.classList.toggle("over", !over || well === over);
  });
  const leave = () => { for (const well of wells) well.classList.remove("over"); };
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) leave(); });
  addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    leave();
    spread(wells, [...event.dataTransfer.files], event.target.closest?.("[data-well]"));
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    message.className = "message";
    message.textContent = "Uploading …";
    try {
      const { jobs, page } = await send(form);
      if (page) { location.assign(page); return; }
      message.textContent = `${jobs.join(", ")} ${jobs.length > 1 ? "were" : "was"} added to the queue.`;
      form.reset();
      wells.forEach(show);
    } catch (error) {
      message.className = "message error";
      message.textContent = error.message;
    }
    button.disabled = false;
  });
}
