// An extension of JupyterLab and Notebook 7, without a build step: what the hub has to tell its user stands as banners
// above everything else. Messages, announcements, that somebody is looking at their files, and what ends soon by itself
// (hub/web/notices.py).
// JupyterLab loads it as a module federation container, like lab-files.js beside it.
(() => {
  const SCHEMA = "https://kernelhub.example/notices/v1";
  const POLL_SECONDS = 60;
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const bar = document.createElement("div");
  bar.id = "kernelhub-notices";
  bar.setAttribute("role", "region");
  bar.setAttribute("aria-label", "Notices of the hub");
  const style = document.createElement("style");
  style.textContent = `
    #kernelhub-notices { position: fixed; inset: 0 0 auto 0; z-index: 20000; font: 13px/1.5 var(--jp-ui-font-family, sans-serif); }
    #kernelhub-notices > div { display: flex; gap: 12px; align-items: center; justify-content: center; padding: 5px 16px;
      color: var(--jp-ui-font-color1, #222); background: var(--jp-layout-color2, #eee);
      border-bottom: 1px solid var(--jp-border-color1, #bbb); white-space: pre-line; overflow-wrap: anywhere; }
    #kernelhub-notices > .warning { box-shadow: inset 4px 0 var(--jp-warn-color1, #b06000); }
    #kernelhub-notices > .alert { box-shadow: inset 4px 0 var(--jp-error-color1, #b3261e); }
    #kernelhub-notices > .info { box-shadow: inset 4px 0 var(--jp-brand-color1, #2457c5); }
    #kernelhub-notices span { max-height: 8em; overflow-y: auto; }
    #kernelhub-notices button { font: inherit; color: inherit; background: var(--jp-layout-color1, #fff); cursor: pointer;
      border: 1px solid var(--jp-border-color1, #bbb); border-radius: 4px; padding: 1px 10px; flex: none; }`;
  let shown = "";
  let shell = null;

  const cookie = (name) => new RegExp(`(?:^|; )${name}=([^;]*)`).exec(document.cookie)?.[1] ?? "";

  function row(notice) {
    const line = document.createElement("div");
    line.className = ["warning", "alert"].includes(notice.tone) ? notice.tone : "info";
    line.setAttribute("role", notice.tone === "alert" ? "alert" : "status");
    const text = document.createElement("span");
    if (notice.from) {
      const who = document.createElement("strong");
      who.textContent = `${notice.from}: `;
      text.append(who);
    }
    text.append(local_time(notice));
    line.append(text);
    if (notice.keep) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = notice.keep_label;
      button.setAttribute("aria-label", `${notice.keep_label}: ${notice.title}`);
      button.addEventListener("click", () => act(notice.keep, button));
      line.append(button);
    }
    if (notice.dismiss) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Dismiss";
      button.setAttribute("aria-label", `Dismiss the message of ${notice.from}`);
      button.addEventListener("click", () => act(notice.dismiss, button));
      line.append(button);
    }
    return line;
  }

  // The hub knows no time zones: it says when in UTC, and here it is said as the clock of this computer shows it.
  function local_time(notice) {
    if (!notice.at || !notice.at_text) return notice.text;
    const shown = new Date(notice.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return notice.text.replace(notice.at_text, shown);
  }

  async function act(address, button) {
    button.disabled = true;
    const headers = { Accept: "application/json", "X-XSRFToken": cookie("_xsrf") };
    const answer = await fetch(address, { method: "POST", headers }).catch(() => null);
    button.disabled = false;
    if (answer) await look();
  }

  // The front end fills the window: it is pushed down by the height of the bar.
  function make_room() {
    const main = shell?.node ?? document.getElementById("main");
    if (!main?.isConnected) return; // not shown yet: how it is placed cannot be known
    const height = `${bar.offsetHeight}px`;
    const padding = getComputedStyle(main).position === "absolute" ? "" : height;
    if (main.style.top === height && main.style.paddingTop === padding) return;
    main.style.top = height;
    main.style.paddingTop = padding;
    window.dispatchEvent(new Event("resize"));
  }

  function show(notices) {
    const now = JSON.stringify(notices);
    if (now === shown) return;
    shown = now;
    bar.replaceChildren(...notices.map(row));
    make_room();
  }

  async function look() {
    try {
      const answer = await fetch(`${config.hubPrefix}home/notices`, { headers: { Accept: "application/json" } });
      if (answer.ok) show((await answer.json()).notices);
    } catch {
      // The hub is away for a moment; what is shown stays.
    }
  }

  function activate(app) {
    shell = app.shell;
    document.head.append(style);
    document.body.append(bar);
    new ResizeObserver(make_room).observe(bar);
    app.started?.then(make_room);
    app.restored?.then(make_room);
    app.serviceManager.events?.stream.connect((_sender, event) => {
      if (event.schema_id === SCHEMA) look();
    });
    look();
    setInterval(() => {
      if (!document.hidden) look();
    }, POLL_SECONDS * 1000);
  }

  const plugin = {
    id: "kernelhub:notices",
    description: "What the hub has to tell its user.",
    autoStart: true,
    activate,
  };
  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["kernelhub-notices"] = {
    init: () => undefined,
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
