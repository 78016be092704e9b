// Takes pictures that are dropped anywhere on the page, shows them, and sends them in place.

const SHOWN = 3; // pictures in a well

function show(well) {
  const input = well.querySelector("input"), hint = well.querySelector(".hint");
  const files = [...input.files];
  well.dataset.hint ??= hint.textContent;
  for (const image of well.querySelectorAll(".shots img")) URL.revokeObjectURL(image.src);
  well.querySelector(".shots")?.remove();
  well.classList.toggle("full", files.length > 0);
  hint.textContent = files.map((one) => one.name).join(", ") || well.dataset.hint;
  if (!files.length) return;
  const shots = document.createElement("div");
  shots.className = "shots";
  for (const file of files.slice(0, SHOWN)) {
    const image = document.createElement("img");
    image.alt = "";
    image.onerror = () => image.remove(); // a kind that this browser does not show
    image.src = URL.createObjectURL(file);
    shots.append(image);
  }
  well.append(shots);
}

function put(well, files) {
  const input = well.querySelector("input"), taken = new DataTransfer();
  for (const file of input.multiple ? files : files.slice(0, 1)) taken.items.add(file);
  input.files = taken.files;
  show(well);
}

function spread(wells, files, over) {
  // two or more that were dropped beside the wells: the photograph first, then what is left
  if (over) { put(over, files); return; }
  const empty = wells.filter((well) => !well.querySelector("input").files.length);
  const [first, second] = empty.length ? empty : wells;
  put(first, second ? files.slice(0, 1) : files);
  if (second && files.length > 1) put(second, files.slice(1));
}

async function send(form, said, button) {
  const answer = await fetch(form.action, {
    method: "POST", body: new FormData(form), headers: { Accept: "application/json" },
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error ?? `it was not taken (${answer.status})`);
  return told;
}

export function drop(form) {
  if (!form) return;
  const wells = [...form.querySelectorAll("[data-well]")];
  const said = form.querySelector("#said"), button = form.querySelector("button.main");
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
    said.className = "said";
    said.textContent = "On its way …";
    try {
      const told = await send(form);
      said.textContent = `${told.name ?? told.job ?? "It"} is taken: it begins in its turn.`;
      form.reset();
      wells.forEach(show);
    } catch (error) {
      said.className = "said bad";
      said.textContent = error.message;
    }
    button.disabled = false;
  });
}
