// Everything else a front end asks for: settings, layouts, configuration, events, identity, kernelspecs, exports, build.
'use strict';

const assert = require('node:assert/strict');
const {
  ConfigSectionManager, EventManager, KernelSpecManager, NbConvertManager, ServerConnection, SettingManager, UserAPI,
  WorkspaceManager
} = require('@jupyterlab/services');
const { BuildManager } = require('@jupyterlab/services/lib/builder');
const { check, run, user } = require('./harness');

const THEME = '@jupyterlab/apputils-extension:themes';

check('settings: all of them, their ids, and one', async ({ settings }) => {
  const manager = new SettingManager({ serverSettings: settings });
  const all = await manager.list();
  const ids = await manager.list('ids');
  assert.ok(all.ids.includes(THEME) && ids.ids.includes(THEME));
  const one = await manager.fetch(THEME);
  assert.ok(one.schema.properties.theme && one.version);
  await assert.rejects(manager.fetch('no-such:plugin'));
});

check('settings: what is saved is kept, comments and all', async ({ settings }) => {
  const manager = new SettingManager({ serverSettings: settings });
  const raw = '{\n  // dark\n  "theme": "JupyterLab Dark"\n}';
  await manager.save(THEME, raw);
  const one = await manager.fetch(THEME);
  assert.equal(one.raw, raw);
  assert.equal(one.settings.theme, 'JupyterLab Dark');
  await assert.rejects(manager.save(THEME, '{ not json'), error => error.response.status === 400);
  await manager.save(THEME, '{}');
});

check('workspaces: saved, listed, read, removed', async ({ settings }) => {
  const manager = new WorkspaceManager({ serverSettings: settings });
  const id = 'of-node-ü';
  await manager.save(id, { data: { 'layout-restorer:data': { a: 1 } }, metadata: { id } });
  assert.ok((await manager.list()).ids.includes(id));
  assert.deepEqual((await manager.fetch(id)).data, { 'layout-restorer:data': { a: 1 } });
  await manager.remove(id);
  assert.ok(!(await manager.list()).ids.includes(id));
});

check('configuration sections are changed in part', async ({ settings }) => {
  const manager = new ConfigSectionManager({ serverSettings: settings });
  const section = await manager.create({ name: 'ofnode' });
  assert.deepEqual(section.data, {});
  await section.update({ a: { b: 1, c: 2 } });
  assert.deepEqual(await section.update({ a: { b: null } }), { a: { c: 2 } });
  assert.deepEqual((await manager.create({ name: 'ofnode' })).data, { a: { c: 2 } });
  await section.update({ a: null });
});

check('events: what one client emits, another one hears', async ({ settings }) => {
  let opened;
  const isOpen = new Promise((resolve, reject) => (opened = { resolve, reject }));
  class WatchedSocket extends settings.WebSocket {
    constructor(...parts) {
      super(...parts);
      this.addEventListener('open', opened.resolve);
      this.addEventListener('error', event => opened.reject(new Error(event.message)));
    }
  }
  const listener = new EventManager({ serverSettings: { ...settings, WebSocket: WatchedSocket }, standby: 'never' });
  const speaker = new EventManager({ serverSettings: settings, standby: 'never' });
  const heard = new Promise(resolve => {
    listener.stream.connect((_, event) => event.schema_id === 'https://example.edu/of-node' && resolve(event));
  });
  await isOpen;
  await speaker.emit({ schema_id: 'https://example.edu/of-node', version: '1', data: { n: 7 } });
  assert.equal((await heard).n, 7);
  listener.dispose();
  speaker.dispose();
});

check('the user is known, and may', async ({ settings }) => {
  const { identity, permissions } = await new UserAPI.UserAPIClient({ serverSettings: settings }).get(); // its manager needs a browser's storage
  assert.equal(identity.username, user);
  assert.ok(identity.display_name && identity.initials);
  assert.ok(permissions);
});

check('kernelspecs: the default one, with its logo', async ({ settings }) => {
  const manager = new KernelSpecManager({ serverSettings: settings, standby: 'never' });
  await manager.ready;
  const { default: name, kernelspecs } = manager.specs;
  assert.equal(kernelspecs[name].language, 'python');
  const logo = kernelspecs[name].resources['logo-64x64'];
  const answer = await ServerConnection.makeRequest(new URL(logo, settings.baseUrl).href, {}, settings);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'image/png');
  manager.dispose();
});

check('export formats are listed', async ({ settings }) => {
  const formats = await new NbConvertManager({ serverSettings: settings }).getExportFormats(true);
  assert.equal(formats.html.output_mimetype, 'text/html');
});

check('the build is stable: there is nothing to build', async ({ settings }) => {
  assert.equal((await new BuildManager({ serverSettings: settings }).getStatus()).status, 'stable');
});

check('the status counts kernels; the version is public', async ({ settings }) => {
  const ask = path => ServerConnection.makeRequest(settings.baseUrl + path, {}, settings).then(answer => answer.json());
  const status = await ask('api/status');
  assert.equal(typeof status.kernels, 'number');
  assert.ok(!Number.isNaN(Date.parse(status.started)));
  const anonymous = await fetch(settings.baseUrl + 'api');
  assert.match((await anonymous.json()).version, /^\d+\.\d+/);
});

check('an API that is not offered is 404 as JSON', async ({ settings }) => {
  for (const path of ['api/nothing', 'lab/api/nothing', 'lab/api/kernels', 'lab/api/kernelspecs', 'lab/api/sessions']) {
    const answer = await ServerConnection.makeRequest(settings.baseUrl + path, {}, settings);
    assert.equal(answer.status, 404, path);
    assert.match(answer.headers.get('content-type'), /application\/json/);
  }
});

run(async settings => ({ settings }));
