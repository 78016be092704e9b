// The photograph of a form, painted small in every style; a tap on one starts the large picture.
import { hasEnded, logIn, ours } from "./session.js";

const BEAT_MS = 1000, WAIT_MS = 300;

async function post(address, body = null) {
  const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } })
    .catch(() => null);
  if (!answer) throw new Error("stylewatch does not answer: ask again when it runs");
  const plain = await ours(answer);
  if (answer.ok) return plain;
  throw Object.assign(new Error(plain.error), { isAnswer: true });
}

function cell(example, choose) {
  // an entry of the list, in which the picture of the style stands until the photograph is painted
  const item = document.createElement("li"), button = document.createElement("button");
  const image = new Image(160, 160), label = document.createElement("span");
  button.type = "button";
  button.append(image, label);
  button.addEventListener("click", choose);
  image.alt = "";
  if (example) image.src = example;
  item.className = "faded";
  item.append(button);
  return item;
}

export function tries(place) {
  if (!place) return;
  const form = place.closest("form"), list = place.querySelector("ul");
  const { content, style } = form.elements;
  const boxes = [...form.querySelectorAll("[name=library]")]; // with the pictures of the styles
  const main = form.querySelector("button.main");
  const ask = place.querySelector("[data-ask]"), more = place.querySelector("[data-more]");
  let current = null, waiting; // the try that is shown, and the timer of what comes next
  let asked = 0; // number of the latest question; an answer to an earlier one is not shown
  let uploading = Promise.resolve();
  let tapped = null, sent = null; // the cell that was tapped, its style and its composition

  const say = (text, error = "") => {
    const message = place.querySelector(".message");
    [message.textContent, message.className] = [text, `message ${error}`];
  };
  const end = () => {
    asked += 1;
    clearTimeout(waiting);
    if (current) navigator.sendBeacon(`${current.address}/end`);
    current = null;
    more.hidden = true;
  };
  const clear = () => { end(); list.replaceChildren(); list.hidden = true; say(""); };

  function choose(item, name, composition) {
    if (main.disabled) return; // another one is being sent
    tapped = { item, name, composition };
    form.requestSubmit(); // reads the form at once
    tapped = null;
  }

  form.addEventListener("submit", () => { if (!main.disabled) sent = tapped; }, { capture: true });
  form.addEventListener("formdata", ({ formData }) => {
    if (!tapped) return;
    formData.delete("style");
    formData.set("library", tapped.name); // it may be newer than the boxes of the form
    if (tapped.composition) formData.set("preview", tapped.composition);
  });

  function add(name, composition) {
    const box = boxes.find(({ value }) => value === name);
    const item = cell(box?.parentElement.querySelector("img").src, () => choose(item, name, composition));
    list.append(item);
    return item;
  }

  function show({ address, preview: composition }, previews) {
    for (const [index, { name, done, reason }] of previews.entries()) {
      const item = list.children[index] ?? add(name, composition), image = item.querySelector("img");
      item.querySelector("span").textContent = reason ? `${name}: ${reason}` : done ? name : `${name} …`;
      item.querySelector("button").disabled = !done;
      if (!done || !item.classList.contains("faded")) continue;
      image.src = `${address}/${index + 1}`;
      item.classList.remove("faded");
    }
    list.hidden = false;
    const left = previews.filter(({ done, reason }) => !done && !reason).length;
    if (!left && !previews.some(({ done }) => done)) { say("It cannot be shown in any style.", "error"); return; }
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

  function begin(isWanted = false) {
    clear();
    say("Uploading …");
    const question = asked;
    uploading = uploading.then(() => upload(question, isWanted)); // one photograph at a time
  }

  async function upload(question, isWanted) {
    const body = new FormData(form), [photograph] = content.files;
    for (const name of ["style", "library", "name"]) body.delete(name);
    if (question !== asked || !photograph || place.hidden) return;
    body.set("content", photograph);
    ask.disabled = true;
    try {
      if (await hasEnded() && !(await logIn())) throw new Error("log in to see it");
      const begun = await post(place.dataset.tries, body);
      if (question !== asked) { // something in the form was changed, or it was sent
        navigator.sendBeacon(`${begun.address}/end`);
        return;
      }
      current = begun;
      more.hidden = !begun.left;
      beat(begun);
    } catch (error) {
      if (question === asked) say(error.message, isWanted ? "error" : "soft");
    } finally { ask.disabled = false; }
  }

  ask.addEventListener("click", () => begin(true));
  more.addEventListener("click", async () => {
    const shown = current;
    more.disabled = true;
    await post(`${shown.address}/more`).then(
      ({ left }) => { more.hidden = shown !== current || !left; }, (error) => say(error.message, "error"));
    more.disabled = false;
  });
  form.addEventListener("input", ({ target }) => {
    if (["library", "name"].includes(target.name)) return;
    clear(); // what was shown is of another photograph, or of other settings
    if (target !== content && target !== style) return;
    const [photograph] = content.files;
    place.hidden = style.files.length > 0 || !photograph?.type.startsWith("image/");
    const is_busy = document.querySelector("[data-part=running] article, [data-part=queue] li");
    if (!(place.hidden || is_busy || form.querySelector("[name=library]:checked"))) waiting = setTimeout(begin, WAIT_MS);
  });
  addEventListener("pageshow", () => { // a browser that went back has kept the photograph
    if (content.files.length) content.dispatchEvent(new Event("input", { bubbles: true }));
  });
  form.addEventListener("accepted", (event) => {
    end();
    if (!sent) return;
    event.preventDefault(); // the photograph stays, for other styles
    for (const item of list.querySelectorAll(".faded")) item.remove();
    sent.item.querySelector("button").disabled = true;
    sent.item.querySelector("span").textContent = `${sent.name}: started`;
    say("Choose another one, or another photograph.");
  });
  form.addEventListener("reset", () => { clear(); place.hidden = true; });
  addEventListener("pagehide", end);
}
