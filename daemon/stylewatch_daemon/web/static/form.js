// The form of a job: files that are dropped anywhere on the page, settings, and the upload.

import { enable, hasEnded, logIn, ours } from "./session.js";

const MAX_SHOWN = 3; // previews in a field
const ASK_MS = 300;

function show(well) {
  const files = [...well.querySelector("input").files], shots = well.querySelector(".shots");
  for (const image of shots.children) URL.revokeObjectURL(image.src);
  well.classList.toggle("full", files.length > 0);
  well.querySelector(".names").textContent = files.map((file) => file.name).join(", ");
  shots.replaceChildren(...files.slice(0, MAX_SHOWN).map((file) => {
    const image = new Image();
    image.alt = "";
    image.onerror = () => image.remove(); // a format that this browser does not support
    image.src = URL.createObjectURL(file);
    return image;
  }));
}

function put(well, files) {
  const input = well.querySelector("input"), chosen = new DataTransfer();
  for (const file of input.multiple ? files : files.slice(0, 1)) chosen.items.add(file);
  input.files = chosen.files;
  input.dispatchEvent(new Event("input", { bubbles: true })); // as if they had been chosen
}

function spread(wells, files) {
  // distributes files dropped outside the fields: the first file to the first empty field, usually
  // the content image, and the others to the next one
  const empty = wells.filter((well) => !well.querySelector("input").files.length);
  const [first, second] = empty.length ? empty : wells;
  put(first, second ? files.slice(0, 1) : files);
  if (second && files.length > 1) put(second, files.slice(1));
}

function takeDrops(form, wells) {
  const leave = () => form.classList.remove("over");
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) leave(); });
  addEventListener("drop", (event) => {
    const files = [...event.dataTransfer.files], well = event.target.closest?.("[data-well]");
    if (!files.length) return;
    event.preventDefault();
    leave();
    if (well) put(well, files);
    else spread(wells, files);
  });
}

function showDefaults(form) {
  // shows the values of the chosen recipe in empty fields, and the values of fields on their sliders
  const { options, selectedOptions } = form.elements.recipe, { dataset, value } = selectedOptions[0];
  for (const name of new Set([...options].flatMap((option) => Object.keys(option.dataset)))) {
    const number = dataset[name];
    form.elements[name].placeholder = number ? `${number} in ${value}` : "by the recipe";
  }
  for (const slider of form.querySelectorAll("[data-slider]")) {
    const field = form.elements[slider.dataset.slider];
    slider.value = parseFloat(field.value || field.placeholder);
  }
}

let asked; // the timer of the latest question

function askForTime(form) {
  // says how long the photograph will take with these settings, by earlier jobs
  const place = form.querySelector("[data-estimate]");
  clearTimeout(asked);
  const question = asked = setTimeout(async () => {
    const photographs = [...form.elements.content?.files ?? []];
    const is_clip = photographs.some(({ type }) => type.startsWith("video/") || type === "image/gif");
    const settings = [...new FormData(form)].filter(([, value]) => typeof value === "string");
    if (is_clip) settings.push(["clip", "yes"]);
    if (photographs.length > 1) settings.push(["several", "yes"]);
    const photograph = form.elements.content?.closest("[data-well]")?.querySelector(".shots img");
    await photograph?.decode().catch(() => {}); // a format that this browser does not support
    if (photograph?.naturalWidth) settings.push(["pixels", `${photograph.naturalWidth}x${photograph.naturalHeight}`]);
    if (question !== asked) return;
    const address = `${place.dataset.estimate}&${new URLSearchParams(settings)}`;
    const answer = await fetch(address).then((it) => it.json()).catch(() => ({}));
    if (question === asked) place.textContent = answer.estimate ?? "";
  }, ASK_MS);
}

function mark(form, mistakes) {
  // shows each mistake beside its control; focuses the first control, and returns its mistake
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
    const label = control?.labels?.[0], what = label?.querySelector(".what") ?? label;
    first = [what?.textContent.replace(/ \(.*/, ""), mistake].filter(Boolean).join(": ");
    (control?.focus ? control : text).scrollIntoView({ block: "center" });
    control?.focus?.({ preventScroll: true });
  }
  return first;
}

function renew({ once }) {
  // the form is to be another one; as long as it is the same, the server acts on it once
  once.value = crypto.getRandomValues(new Uint32Array(4)).join("-");
}

async function send(form, body) {
  // returns the message to show, and whether it is of a job that waits; throws an Error with the
  // first mistake
  if (await hasEnded() && !(await logIn())) throw new Error("log in to start the job");
  const answer = await fetch(form.action, {
    method: "POST", body, headers: { Accept: "application/json" },
  }).catch(() => { throw new Error("stylewatch does not answer: try again when it runs"); });
  const { jobs, page, acted, error, mistakes } = await ours(answer);
  const mistake = mark(form, mistakes ?? {});
  if (!answer.ok) throw new Error(mistake ?? error);
  renew(form.elements);
  const isOver = form.dispatchEvent(new Event("accepted", { cancelable: true }));
  if (acted === false) return { text: form.dataset.later };
  if (page) {
    location.assign(page);
    return { text: "" };
  }
  if (isOver) form.reset();
  return { text: `${jobs.join(", ")} ${jobs.length > 1 ? "were" : "was"} added to the queue.`, isQueued: true };
}

export function jobForm(form) {
  if (!form) return;
  const wells = [...form.querySelectorAll("[data-well]")];
  const message = form.querySelector("#message"), queued = form.querySelector("[data-queued]");
  const say = ({ text, error = "", isQueued = false }) => {
    [message.textContent, message.className, queued.hidden] = [text, `message ${error}`, !isQueued];
  };
  const forget = () => { if (!queued.hidden) say({ text: "" }); };
  const refresh = () => { wells.forEach(show); showDefaults(form); };
  takeDrops(form, wells);
  if (matchMedia("(pointer: coarse)").matches) { // names of files would open a phone's file manager
    for (const input of form.querySelectorAll("[type=file]")) input.accept = input.accept.replace(/,\.\w+/g, "");
  }
  refresh();
  if (form.querySelector("[data-estimate][data-ask]")) askForTime(form);
  const news = document.querySelector("[data-part=news]"); // a job has ended
  if (news) new MutationObserver(forget).observe(news, { childList: true, characterData: true, subtree: true });
  form.addEventListener("input", ({ target }) => {
    forget();
    if (target.type === "file") {
      show(target.closest("[data-well]"));
      askForTime(form);
      return;
    }
    const field = form.elements[target.dataset.slider];
    if (field) field.value = target.value;
    showDefaults(form);
    askForTime(form);
  });
  form.addEventListener("reset", () => setTimeout(() => { // after the reset
    refresh();
    askForTime(form);
  }));
  form.addEventListener("submit", async (event) => {
    const button = form.querySelector("button.main");
    event.preventDefault();
    if (button.disabled) return; // it is being sent
    button.disabled = true;
    say({ text: "Uploading …" });
    await send(form, new FormData(form)).then(say, (error) => say({ text: error.message, error: "error" }));
    enable(button);
  });
}
