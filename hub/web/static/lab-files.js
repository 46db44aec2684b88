// An extension of JupyterLab and Notebook 7, without a build step: entries in the file browser's context menu that
// lead to what the hub has and Jupyter has not, archives of folders and the trash. JupyterLab loads it as a module
// federation container (https://webpack.js.org/concepts/module-federation/): `init` gets the shared modules.
(() => {
  let shared = {};

  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);

  // Any version will do: there is one JupyterLab in the page, and only its token is asked of the module.
  async function load(name) {
    const versions = Object.values(shared[name] ?? {});
    const found = versions.find((version) => version.loaded) ?? versions[0];
    return found ? (await found.get())() : {};
  }

  function download(path) {
    const link = document.createElement("a");
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    link.href = `${config.baseUrl}directories/${encoded}?archiveFormat=zip`;
    link.download = "";
    document.body.append(link);
    link.click();
    link.remove();
  }

  function activate(app, browsers) {
    if (!browsers) return;
    const local = (path) => app.serviceManager.contents.localPath(path);
    const noArguments = { args: { type: "object", properties: {} } };
    app.commands.addCommand("kernelhub:download-folder", {
      label: "Download Folder as an Archive",
      describedBy: noArguments,
      execute: () => {
        for (const item of browsers.tracker.currentWidget?.selectedItems() ?? []) {
          if (item.type === "directory") download(local(item.path));
        }
      },
    });
    app.commands.addCommand("kernelhub:download-current-folder", {
      label: "Download Current Folder as an Archive",
      describedBy: noArguments,
      execute: () => {
        const browser = browsers.tracker.currentWidget;
        if (browser) download(local(browser.model.path));
      },
    });
    app.commands.addCommand("kernelhub:show-trash", {
      label: "Show Trash",
      describedBy: noArguments,
      execute: () => {
        window.open(`${config.hubPrefix}home/trash`, "_blank", "noopener");
      },
    });
    const menu = app.contextMenu;
    menu?.addItem({ command: "kernelhub:download-folder", selector: '.jp-DirListing-item[data-isdir="true"]', rank: 9.5 });
    menu?.addItem({ command: "kernelhub:download-current-folder", selector: ".jp-DirListing-content", rank: 60 });
    menu?.addItem({ command: "kernelhub:show-trash", selector: ".jp-DirListing-content", rank: 61 });
  }

  async function extension() {
    const { IFileBrowserFactory } = await load("@jupyterlab/filebrowser");
    const plugin = {
      id: "kernelhub:files",
      description: "Archives of folders, and the trash.",
      autoStart: true,
      optional: IFileBrowserFactory ? [IFileBrowserFactory] : [], // some pages of Notebook 7 have no file browser
      activate,
    };
    return () => ({ __esModule: true, default: plugin });
  }

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB.kernelhub = {
    init: (scope) => {
      shared = scope;
    },
    get: () => extension(),
  };
})();
