// Local times, confirmation of actions, and pages that reload themselves.

const FORM = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function times(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) time.textContent = FORM.format(at);
  }
}

export function acts() {
  const again = document.querySelector("[data-again]");
  if (again) setTimeout(() => location.reload(), 1000 * again.dataset.again);

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
}
