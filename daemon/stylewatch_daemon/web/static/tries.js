// The photograph of a form, painted small in every style; a tap on one starts the large picture.
import { hasEnded, logIn } from "./session.js";

const BEAT_MS = 1000, WAIT_MS = 300;

async function post(address, body = null) {
  const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } })
    .catch(() => null);
  const plain = await answer?.json().catch(() => null) ?? {};
  if (answer?.ok) return plain;
  const error = new Error(plain.error ?? "stylewatch does not answer: ask again when it runs");
  error.isAnswer = answer !== null;
  throw error;
}

function cell(choose) {
  const item = document.createElement("li"), button = document.createElement("button");
  const image = new Image(160, 160), label = document.createElement("span");
  button.type = "button";
  button.append(image, label);
  button.addEventListener("click", choose);
  image.alt = "";
  item.append(button);
  return item;
}

export function tries(place) {
  if (!place) return;
  const form = place.closest("form"), list = place.querySelector("ul");
  const { content, style, preview } = form.elements;
  const ask = place.querySelector("[data-ask]"), more = place.querySelector("[data-more]");
  let current = null, waiting; // the try that is shown, and the timer of what comes next

  const say = (text, error = "") => {
    const message = place.querySelector(".message");
    [message.textContent, message.className] = [text, `message ${error}`];
  };
  const end = () => {
    clearTimeout(waiting);
    if (current) navigator.sendBeacon(`${current.address}/end`);
    current = null;
    more.hidden = true;
  };
  const clear = () => { end(); list.replaceChildren(); list.hidden = true; say(""); };

  function choose(name, composition) {
    if (form.querySelector("button.main").disabled) return; // another one is being sent
    for (const box of form.querySelectorAll("[name=library]")) box.checked = box.value === name;
    preview.value ||= composition;
    form.requestSubmit();
  }

  function show({ address, preview: composition }, previews) {
    for (const [index, { name, done, reason }] of previews.entries()) {
      if (!list.children[index]) list.append(cell(() => choose(name, composition)));
      const item = list.children[index], image = item.querySelector("img");
      item.querySelector("span").textContent = reason ? `${name}: ${reason}` : done ? name : `${name} …`;
      item.querySelector("button").disabled = !done;
      if (done && !image.src) image.src = `${address}/${index + 1}`;
    }
    list.hidden = false;
    const left = previews.filter(({ done, reason }) => !done && !reason).length;
    const what = content.files.length > 1 ? `${content.files.length} photographs are` : "it is";
    say(left ? `${left} more to come …` : `Choose one: ${what} painted large, with the same composition.`);
  }

  async function beat(shown) {
    try {
      const { previews } = await post(shown.address);
      if (shown !== current) return;
      show(shown, previews);
      waiting = setTimeout(beat, BEAT_MS, shown);
    } catch (error) {
      if (shown !== current) return;
      if (!error.isAnswer) waiting = setTimeout(beat, BEAT_MS, shown); // the network was away
      else { current = null; more.hidden = true; say(error.message, "error"); }
    }
  }

  async function begin() {
    clear();
    const body = new FormData(form), [photograph] = content.files;
    for (const name of ["style", "library", "name"]) body.delete(name);
    body.set("content", photograph);
    say("Uploading …");
    ask.disabled = true;
    try {
      if (await hasEnded() && !(await logIn())) throw new Error("log in to see it");
      const begun = await post(place.dataset.tries, body);
      if (content.files[0] !== photograph) { // another was chosen meanwhile
        navigator.sendBeacon(`${begun.address}/end`);
        return;
      }
      current = begun;
      more.hidden = !begun.left;
      await beat(begun);
    } catch (error) { say(error.message, "error"); } finally { ask.disabled = false; }
  }

  ask.addEventListener("click", begin);
  more.addEventListener("click", async () => {
    more.disabled = true;
    await post(`${current.address}/more`).then(
      ({ left }) => { more.hidden = !left; }, (error) => say(error.message, "error"));
    more.disabled = false;
  });
  form.addEventListener("input", ({ target }) => {
    if (target !== content && target !== style) return;
    const [photograph] = content.files;
    clear();
    place.hidden = style.files.length > 0 || !photograph?.type.startsWith("image/");
    const is_busy = document.querySelector("[data-part=running] article");
    if (!(place.hidden || is_busy || form.querySelector("[name=library]:checked"))) waiting = setTimeout(begin, WAIT_MS);
  });
  form.addEventListener("submit", end);
  form.addEventListener("reset", () => { clear(); place.hidden = true; });
  addEventListener("pagehide", end);
}
