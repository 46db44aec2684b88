// The API's page: its search, links to one operation, and trying out what only reads.

const operations = [...document.querySelectorAll(".api-operation")];
const search = document.getElementById("api-search");
const found = document.getElementById("api-found");
const texts = new Map(operations.map((operation) => [operation, operation.textContent.toLowerCase()]));

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const operation of operations) {
    const text = texts.get(operation);
    operation.hidden = !words.every((word) => text.includes(word));
    shown += !operation.hidden;
  }
  for (const section of document.querySelectorAll(".api-tag")) {
    section.hidden = !section.querySelector(".api-operation:not([hidden])");
  }
  found.textContent = words.length ? `${shown} of ${operations.length}` : "";
}
search.addEventListener("input", filter);

function open() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.matches(".api-operation")) named.open = true;
}
window.addEventListener("hashchange", open);
open();

// Without presence the token of the sign-in: it permits one's own things.
const token =
  document.querySelector('meta[name="presence"]')?.content || document.querySelector('input[name="_xsrf"]')?.value;

function address(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function read(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.includes("event-stream")) return "(a stream of events; use a program)";
  const text = await response.text();
  if (!type.includes("json")) return text.slice(0, 20000);
  return JSON.stringify(JSON.parse(text), null, 2);
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest(".api-try");
  if (!form) return;
  event.preventDefault();
  const shown = form.querySelector("pre");
  const asked = address(form);
  shown.hidden = false;
  shown.textContent = `GET ${asked}\n…`;
  const stopper = new AbortController();
  try {
    const headers = token ? { "X-XSRFToken": token } : {};
    const response = await fetch(asked, { headers, signal: stopper.signal });
    const body = await read(response);
    shown.textContent = `GET ${asked}\n${response.status} ${response.statusText}\n\n${body}`;
    if (response.headers.get("X-Presence") === "required") {
      const link = document.createElement("a");
      const here = `${location.pathname}#${form.closest(".api-operation").id}`;
      link.href = `/hub/confirm?next=${encodeURIComponent(here)}`;
      link.textContent = "Confirm that it is you, then try again";
      shown.append("\n\n", link);
    }
  } catch (error) {
    shown.textContent = `GET ${asked}\n${error.message}`;
  } finally {
    stopper.abort();
  }
});
