// What the hub's pages do beyond links and forms. Every page works without it, except copying and asking first.

// A sign-out that was asked for in one of our own pages (JupyterLab's menu) needs no second click.
for (const form of document.querySelectorAll("form[data-submit-now]")) form.requestSubmit();

// What htmx asks for carries the token of this page. When presence has ended meanwhile, the page asks for it anew.
const presence = document.querySelector('meta[name="presence"]')?.content;
document.addEventListener("htmx:configRequest", (event) => {
  if (presence) event.detail.headers["X-XSRFToken"] = presence;
});
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.getResponseHeader("X-Presence") === "required") window.location.reload();
});

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

// What cannot be undone is asked first, in a dialog whose first answer is no; a second click must not do it twice.
function ask(form, submitter) {
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  const words = document.createElement("p");
  words.id = "ask-words";
  words.textContent = form.dataset.confirm;
  dialog.setAttribute("aria-labelledby", words.id);
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  const yes = document.createElement("button");
  yes.type = "button";
  yes.className = "danger primary";
  yes.textContent = form.dataset.confirmVerb || submitter?.textContent.trim() || "Do it";
  const no = document.createElement("button");
  no.type = "button";
  no.textContent = "Cancel";
  no.autofocus = true;
  buttons.append(yes, no);
  dialog.append(words, buttons);
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", () => {
    form.dataset.confirmed = "yes";
    dialog.close();
    // The page may have been renewed meanwhile: the same button may be another element now.
    const button = submitter?.isConnected ? submitter : document.getElementById(submitter?.id ?? "");
    const target = form.isConnected ? form : button?.form;
    if (!target) return;
    target.dataset.confirmed = "yes";
    target.requestSubmit(button?.form === target ? button : undefined);
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    (submitter?.isConnected ? submitter : document.getElementById(submitter?.id ?? ""))?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !form.dataset.confirmed) {
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(form, event.submitter);
    return;
  }
  delete form.dataset.confirmed;
  if (form.dataset.sent) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  form.dataset.sent = "yes";
});

// A message that was dismissed goes without a new page.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("form[data-dismiss]")) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form));
  const answer = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" }, body });
  if (!answer.ok && answer.status !== 404) return form.submit();
  form.closest(".banner").remove();
  document.getElementById("content").focus();
});

// A dialog is closed by its own buttons and by a click beside it, and Escape does it anyway.
document.addEventListener("click", (event) => {
  if (event.target.matches("dialog [data-close]")) event.target.closest("dialog").close();
  if (event.target.matches("dialog")) event.target.close();
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Times are shown as the server wrote them; the exact local time is one hover away.
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = new Date(time.dateTime).toLocaleString();
}

// A learning platform waits for this word (LTI Dynamic Registration 1.0, 3.6) to close the frame or window.
for (const button of document.querySelectorAll("[data-lti-close]")) {
  button.addEventListener("click", () => {
    (window.opener ?? window.parent).postMessage({ subject: "org.imsglobal.lti.close" }, "*"); // it holds nothing
  });
}
