// What the hub's pages do beyond links and forms. Every page works without it, except copying and asking first.

// A sign-out that was asked for in one of our own pages (JupyterLab's menu) needs no second click.
for (const form of document.querySelectorAll("form[data-submit-now]")) form.requestSubmit();

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // plain http has no clipboard API
  }
  button.textContent = "Copied";
});

// What cannot be undone is asked first; a second click must not create a second thing.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Times are shown as the server wrote them; the exact local time is one hover away.
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = new Date(time.dateTime).toLocaleString();
}
