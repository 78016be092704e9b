// The login in place: what was typed or chosen on a page outlives the session of its viewer.

const dialog = document.getElementById("session"); // none on a page that needs no login

export async function hasEnded() {
  // says whether a login is needed; not so while the server does not answer
  if (!dialog) return false;
  const { status } = await fetch(dialog.dataset.check, { method: "HEAD" }).catch(() => ({}));
  return status === 401;
}

export async function ours(answer) {
  // returns the content of an answer of stylewatch; a proxy may have answered in its place
  const plain = await answer.json().catch(() => null);
  if (plain && (answer.ok || plain.error)) return plain;
  throw new Error(`something else than stylewatch answered, perhaps a proxy (${answer.status}): log in there if it asks for that, and try again`);
}

let asking; // what becomes of the open dialog

export function logIn() {
  // asks for the token; resolves to whether the viewer is logged in, and not if the dialog is closed
  asking ??= new Promise((resolve) => {
    const form = dialog.querySelector("form"), mistake = dialog.querySelector("#session-mistake");
    const { token } = form.elements;
    const say = (text, isWrong = false) => {
      mistake.textContent = text;
      token.setAttribute("aria-invalid", isWrong);
      if (isWrong) token.focus();
    };
    const end = new AbortController(), { signal } = end;
    const finish = (is_in) => {
      end.abort();
      asking = undefined;
      dialog.close();
      form.reset();
      if (is_in) renew();
      resolve(is_in);
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      say("");
      const answer = await fetch(form.action, {
        method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" },
      }).catch(() => null);
      if (answer?.ok) return finish(true);
      const { error } = await answer?.json().catch(() => null) ?? {}; // a proxy may have answered
      say(error ?? "stylewatch does not answer: try again when it runs", answer?.status === 403 && !!error);
    }, { signal });
    dialog.addEventListener("cancel", () => finish(false), { signal });
    document.addEventListener("visibilitychange", async () => { // logged in on another tab
      if (!document.hidden && !(await hasEnded())) finish(true);
    }, { signal });
    token.setAttribute("aria-describedby", mistake.id);
    say("");
    dialog.showModal();
  });
  return asking;
}

export function enable(button) {
  // a disabled button loses the focus, and gets it back unless something else has it
  const { activeElement, body } = document; // that is still in the dialog right after it closes
  button.disabled = false;
  if (activeElement === body || dialog?.contains(activeElement)) button.focus();
}

function renew() {
  // fetches the pictures that were refused
  for (const image of document.images) {
    if (image.complete && !image.naturalWidth) image.src = image.getAttribute("src");
  }
}
