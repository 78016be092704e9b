// Local times and zone, texts to copy, confirmation of actions, and pages that reload themselves.

const FORM = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function times(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) time.textContent = FORM.format(at);
  }
}

export function copies(part) {
  // a button beside each text that is there to be copied
  for (const text of part.querySelectorAll("[data-copy]")) {
    if (text.nextElementSibling?.dataset.copied !== undefined) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet copied";
    button.dataset.copied = "";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(text); // without https there is no clipboard: Ctrl+C copies it
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch { button.textContent = "Press Ctrl+C"; }
    });
    text.after(button);
  }
}

export function zone(field) {
  // days that are searched for begin at midnight here
  if (field) field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
}

export function acts() {
  const again = document.querySelector("[data-again]");
  if (again) setTimeout(() => location.reload(), 1000 * again.dataset.again);

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
}
