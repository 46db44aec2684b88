// Live pages: parts of the page that the hub sends when they change, the forms that act on them, and larger lines.
// The stream is read with fetch, since an EventSource cannot carry the token of this page (hub/web/live_stream.py).

const root = document.querySelector("[data-live]");
const presence = document.querySelector('meta[name="presence"]')?.content;
const headers = presence ? { "X-XSRFToken": presence } : {};
const known = new Map(); // what each part was last told to be
const RETRY = [1, 2, 5, 10, 20];
const POLL_SECONDS = 10;
const SILENCE_SECONDS = 40; // a stream that says nothing for so long is dead: it beats every 15 seconds

// -- parts ---------------------------------------------------------------------------------------------------

// Replace what an element holds: keyboard focus, open details and what was typed stay where they are.
function fill(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const open = [...element.querySelectorAll("details[open]")].map((details) => details.id);
  const chosen = [...element.querySelectorAll("select[id]")].map((select) => [select.id, select.value]);
  element.innerHTML = html;
  for (const id of open) if (id) element.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  for (const [id, value] of chosen) {
    const select = element.querySelector(`#${CSS.escape(id)}`);
    if (select && [...select.options].some((option) => option.value === value)) select.value = value;
  }
  for (const inner of element.querySelectorAll("[data-part]")) {
    if (known.has(inner.dataset.part)) inner.innerHTML = known.get(inner.dataset.part);
  }
  if (focused) refocus(element, focused);
}

function refocus(element, lost) {
  const same =
    (lost.id && element.querySelector(`#${CSS.escape(lost.id)}`)) ||
    (lost.dataset.chart && element.querySelector(`[data-chart="${CSS.escape(lost.dataset.chart)}"]`)) ||
    (lost.href && [...element.querySelectorAll("a[href]")].find((link) => link.href === lost.href)) ||
    (lost.tagName === "SUMMARY" && element.querySelector("summary"));
  if (same) same.focus({ preventScroll: true });
}

function apply(told) {
  for (const [name, html] of Object.entries(told.parts ?? {})) {
    known.set(name, html);
    for (const element of root.querySelectorAll(`[data-part="${CSS.escape(name)}"]`)) fill(element, html);
  }
  const body = root.querySelector("[data-rows]");
  if (!body) return;
  for (const [id, cells] of Object.entries(told.rows ?? {})) applyRow(body, id, cells);
  if (told.order) applyOrder(body, told.order);
  root.querySelector("[data-when-empty]")?.toggleAttribute("hidden", body.children.length > 0);
}

function applyRow(body, id, cells) {
  let row = body.querySelector(`[data-row="${CSS.escape(id)}"]`);
  if (!row) {
    row = root.querySelector("[data-row-template]").content.firstElementChild.cloneNode(true);
    row.dataset.row = id;
    body.append(row);
  }
  for (const [name, html] of Object.entries(cells)) {
    const cell = row.querySelector(`[data-cell="${CSS.escape(name)}"]`);
    if (cell) fill(cell, html);
  }
}

// Rows that are gone go; the others are put in order unless somebody is at work among them.
function applyOrder(body, order) {
  const wanted = new Set(order);
  for (const row of [...body.children]) {
    if (wanted.has(row.dataset.row)) continue;
    if (row.contains(document.activeElement)) moveFocusFrom(row);
    row.remove();
  }
  if (body.contains(document.activeElement) || body.matches(":hover")) return;
  order.forEach((id, index) => {
    const row = body.querySelector(`[data-row="${CSS.escape(id)}"]`);
    if (row && body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
}

function moveFocusFrom(row) {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  const target = next?.querySelector("a, button, summary") ?? root.querySelector("#search");
  target?.focus({ preventScroll: true });
}

// -- the stream ----------------------------------------------------------------------------------------------

let stopped = false;
let reading = null;

function show(state) {
  const place = document.querySelector("[data-live-state]");
  if (!place || place.dataset.state === state) return;
  place.dataset.state = state;
  place.lastChild.textContent = { live: "live", polling: "refreshed every 10 s", away: "waiting for the hub" }[state];
}

function say(text) {
  const place = document.querySelector("[data-live-told]");
  if (place) place.textContent = text;
}

// Reasons for which the page is asked for anew: it leads to signing in, or to the proof that it is you.
const AGAIN = ["signed-out", "auth.required", "auth.presence_required"];

// Whether a refusal means that the page is asked for anew, which then has begun.
async function leaves(answer) {
  if (answer.status !== 401 && answer.status !== 403) return false;
  const told = await answer
    .clone()
    .json()
    .catch(() => ({}));
  if (answer.headers.get("X-Presence") !== "required" && !AGAIN.includes(told.code)) return false;
  stopped = true;
  window.location.reload();
  return true;
}

// Whether there is a point in asking for what changes once more.
async function refused(answer) {
  if (!(await leaves(answer)) && answer.status === 403) stopped = true;
  return stopped;
}

async function stream() {
  const control = new AbortController();
  reading = control;
  let alarm;
  const heard = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => control.abort(), SILENCE_SECONDS * 1000);
  };
  heard();
  try {
    const answer = await fetch(root.dataset.live, { headers, signal: control.signal, cache: "no-store" });
    if (!answer.ok) {
      await refused(answer);
      return answer.status === 429 ? "full" : "failed";
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return "ended";
      heard();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) if (take(event)) return "ended";
    }
  } catch {
    return "failed";
  } finally {
    clearTimeout(alarm);
    if (reading === control) reading = null;
  }
}

// Whether that was the last event.
function take(event) {
  const name = /^event: (.*)$/m.exec(event)?.[1];
  const data = /^data: (.*)$/m.exec(event)?.[1];
  if (!name || !data) return false;
  const told = JSON.parse(data);
  if (name === "end") {
    if (AGAIN.includes(told.reason)) window.location.reload();
    return true;
  }
  show("live");
  apply(told);
  return false;
}

async function poll() {
  const mark = root.dataset.live.includes("?") ? "&" : "?";
  try {
    const answer = await fetch(`${root.dataset.live}${mark}once=1`, { headers, cache: "no-store" });
    if (answer.ok) {
      show("polling");
      apply(await answer.json());
    } else if (!(await refused(answer))) show("away");
  } catch {
    show("away");
  }
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// A page that nobody sees asks for nothing, and does not keep anybody signed in.
const seen = () =>
  new Promise((resolve) => {
    if (!document.hidden) return resolve();
    document.addEventListener("visibilitychange", () => !document.hidden && resolve(), { once: false });
  });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) reading?.abort();
});

async function run() {
  let failures = 0;
  while (!stopped) {
    await seen();
    const began = Date.now();
    const how = await stream();
    if (document.hidden || stopped) continue;
    if (how === "ended" || Date.now() - began > 60_000) failures = 0;
    else failures += 1;
    if (how !== "ended") await poll();
    await sleep(how === "full" ? POLL_SECONDS : RETRY[Math.min(failures, RETRY.length - 1)]);
  }
}

// -- forms and dialogs -----------------------------------------------------------------------------------------

// An action that needs no new page: it is sent by script, and what came of it is said aloud.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("form[data-live-form]")) return;
  event.preventDefault();
  const button = event.submitter;
  button?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { ...headers, Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    if (await leaves(answer)) return;
    const told = await answer.json();
    toast(answer.ok ? told.done : told.message, answer.ok ? "good" : "bad");
    if (answer.ok) {
      const dialog = form.closest("dialog");
      if (dialog) {
        dialog.close();
        form.reset();
      }
    }
  } catch {
    toast("The hub does not answer; nothing was done. Try again.", "bad");
  } finally {
    button?.removeAttribute("aria-busy");
    delete form.dataset.sent;
  }
});

function toast(text, tone) {
  say(text);
  document.querySelector(".toast")?.remove();
  const note = document.createElement("p");
  note.className = `toast note ${tone}`;
  note.textContent = text;
  document.body.append(note);
  setTimeout(() => note.remove(), 6000);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-message]");
  const dialog = document.getElementById("message");
  if (!link || !dialog?.showModal || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  dialog.querySelector("form").action = link.getAttribute("href");
  dialog.querySelector("[data-message-name]").textContent = link.dataset.message;
  dialog.showModal();
  dialog.querySelector("textarea").focus();
});

for (const form of document.querySelectorAll("form[data-auto]")) {
  form.classList.add("auto");
  form.addEventListener("change", (event) => {
    if (event.target.matches("select")) form.requestSubmit();
  });
}

// -- larger lines ------------------------------------------------------------------------------------------------

let charts = [];

function loaded() {
  if (window.uPlot) return Promise.resolve();
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = root.dataset.uplotCss;
  const script = document.createElement("script");
  script.src = root.dataset.uplotJs;
  document.head.append(style, script);
  return new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = reject;
  });
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function bytes(value) {
  if (value == null) return "–";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let shown = value;
  let index = 0;
  while (shown >= 999.5 && index < units.length - 1) {
    shown /= 1000;
    index += 1;
  }
  return `${shown < 9.95 && index ? shown.toFixed(1) : Math.round(shown)} ${units[index]}`;
}

function draw(place, label, times, values, limit, format) {
  const box = document.createElement("div");
  place.append(box);
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
  charts.push(
    new window.uPlot(
      {
        title: label,
        width: place.clientWidth,
        height: 180,
        cursor: { y: false },
        scales: { y: { range: (_u, _low, high) => [0, Math.max(high || 0, limit || 0) || 1] } },
        axes: [axis, { ...axis, size: 72, values: (_u, ticks) => ticks.map(format) }],
        series: [
          {},
          { label, stroke: colour("--accent"), fill: colour("--accent-soft"), width: 2, value: (_u, v) => format(v) },
        ],
      },
      [times, values],
      box,
    ),
  );
}

// The same in words, for those who cannot see the lines.
function inWords(label, values, format) {
  const figures = values.filter((value) => value != null);
  if (!figures.length) return `${label}: nothing is known yet.`;
  return `${label}: ${format(figures.at(-1))} now, at most ${format(Math.max(...figures))} in this half hour.`;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-chart]");
  if (!button) return;
  const dialog = document.getElementById("chart");
  const place = dialog.querySelector("[data-chart-place]");
  const words = dialog.querySelector("[data-chart-words]");
  charts.splice(0).forEach((chart) => chart.destroy());
  place.replaceChildren();
  words.textContent = "";
  dialog.querySelector("h2").textContent = `${button.dataset.chartTitle}: the last half hour`;
  dialog.showModal();
  try {
    const answer = await fetch(button.dataset.chart, { headers, cache: "no-store" });
    if (await leaves(answer)) return;
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.message);
    await loaded();
    const now = Date.now() / 1000;
    const times = told.cpu.map((_value, index) => now - (told.cpu.length - 1 - index) * told.grain);
    const cores = told.cpu_is_share
      ? (value) => (value == null ? "–" : `${Math.round(100 * value)} %`)
      : (value) => (value == null ? "–" : value.toFixed(value < 1 ? 2 : 1));
    draw(place, "Processors", times, told.cpu, told.cpu_limit, cores);
    draw(place, "Memory", times, told.memory, told.memory_limit, bytes);
    words.textContent = `${inWords("Processors", told.cpu, cores)} ${inWords("Memory", told.memory, bytes)}`;
  } catch (error) {
    words.textContent = error.message || "The lines could not be drawn.";
  }
});

if (root) run();
