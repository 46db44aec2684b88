// What VS Code's Jupyter extension asks of an "Existing Jupyter Server", step by step, and its JupyterHub extension.
//
// It is built on @jupyterlab/services with node-fetch and ws, as here. Each check is a step of its connection logic.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const nodeFetch = require('node-fetch');
const { ContentsManager, KernelManager, KernelSpecManager, SessionManager } = require('@jupyterlab/services');
const { parseUri, settingsFor } = require('./editor');
const { address, baseUrl, check, password, run, token, until, user } = require('./harness');

const api = (path, init = {}, by = token) =>
  nodeFetch(`${address}/hub/api${path}`, {
    ...init,
    headers: { 'Content-Type': 'application/json', ...(by ? { Authorization: `token ${by}` } : {}) }
  });

check('1: the address with its token is understood', async () => {
  assert.deepEqual(parseUri(`${baseUrl}?token=${token}`), { base: baseUrl, token });
});

check("1: below JupyterLab's own address there is no API, and that is said as JSON, not as a page", async () => {
  for (const name of ['kernels', 'kernelspecs', 'sessions']) {
    const answer = await nodeFetch(`${baseUrl}lab/api/${name}?1`, {
      headers: { Authorization: `token ${token}`, 'Content-Type': 'application/json' }
    });
    assert.equal(answer.status, 404);
    assert.match(answer.headers.get('content-type'), /application\/json/);
    await answer.json();
  }
});

check('2: it is recognised as a JupyterHub: by the address, and by hub/api', async () => {
  assert.ok(baseUrl.includes('/user/'));
  const answer = await nodeFetch(`${address}/hub/api`);
  assert.equal(answer.status, 200);
  assert.equal(typeof (await answer.json()).version, 'string');
});

check('3: without credentials the base leads to the sign-in page, and nowhere in circles', async () => {
  const followed = await nodeFetch(baseUrl, { redirect: 'follow', follow: 5 });
  assert.equal(followed.status, 200);
  assert.match(followed.url, /\/login\?/);
  const tree = await nodeFetch(`${baseUrl}tree?`, { redirect: 'manual' });
  assert.notEqual(tree.status, 200);
});

check('3: with the token it leads to JupyterLab', async () => {
  const answer = await nodeFetch(`${baseUrl}?token=${token}`, {
    redirect: 'manual',
    headers: { Authorization: `token ${token}`, 'Content-Type': 'application/json' }
  });
  assert.equal(answer.status, 302);
  assert.match(answer.headers.get('location'), /\/lab/);
});

check('5: kernels, kernelspecs and sessions are listed by a GET with a Content-Type', async world => {
  const serverSettings = world.settings;
  world.kernels = new KernelManager({ serverSettings, standby: 'never' });
  world.specs = new KernelSpecManager({ serverSettings, standby: 'never' });
  world.sessions = new SessionManager({ serverSettings, kernelManager: world.kernels, standby: 'never' });
  await Promise.all([world.kernels.ready, world.specs.ready, world.sessions.ready]);
  assert.ok(Object.keys(world.specs.specs.kernelspecs).length > 0);
  await world.kernels.refreshRunning();
  await world.sessions.refreshRunning();
});

check('5: a session starts for a path that no file has', async world => {
  const path = `folder that is not there/of vscode-jvsc-${randomUUID()}.ipynb`;
  world.session = await world.sessions.startNew({ path, name: 'of vscode.ipynb', type: 'notebook', kernel: { name: 'python3' } });
  assert.equal(world.session.path, path);
  await until(world.session.kernel.statusChanged, () => world.session.kernel.status === 'idle');
  await world.session.kernel.info;
  await assert.rejects(new ContentsManager({ serverSettings: world.settings }).get(path), error => error.response.status === 404);
});

check('5: the kernel works in the home, where the folder is missing', async ({ session }) => {
  const future = session.kernel.requestExecute({ code: 'import os; print(os.path.samefile(os.getcwd(), os.path.expanduser("~")))' });
  let printed = '';
  future.onIOPub = message => (printed += message.content.text || '');
  await future.done;
  assert.equal(printed.trim(), 'True');
});

check('5: pings of the client are answered', async ({ session }) => {
  const socket = session.kernel._ws;
  assert.equal(socket.protocol, 'v1.kernel.websocket.jupyter.org');
  const answered = new Promise(resolve => socket.once('pong', resolve));
  socket.ping('alive');
  assert.equal(String(await answered), 'alive');
});

check('5: a cell runs, is interrupted, and the kernel restarted', async ({ session }) => {
  const { kernel } = session;
  const future = kernel.requestExecute({ code: 'import time\nprint("go", flush=True)\nwhile True: time.sleep(0.01)', stop_on_error: false, allow_stdin: true, store_history: true });
  await new Promise(resolve => (future.onIOPub = message => message.header.msg_type === 'stream' && resolve()));
  await kernel.interrupt();
  assert.equal((await future.done).content.ename, 'KeyboardInterrupt');
  await kernel.restart();
  await kernel.info;
  assert.equal((await kernel.requestExecute({ code: '1' }).done).content.status, 'ok');
});

check('5: an editor that comes back finds its session and its kernel', async ({ settings, session }) => {
  const kernels = new KernelManager({ serverSettings: settings, standby: 'never' });
  const sessions = new SessionManager({ serverSettings: settings, kernelManager: kernels, standby: 'never' });
  await sessions.ready;
  const found = [...sessions.running()].find(model => model.id === session.id);
  const again = sessions.connectTo({ model: found });
  assert.equal((await again.kernel.requestExecute({ code: '1' }).done).content.status, 'ok');
  again.dispose();
  sessions.dispose();
});

check('5: the session ends by DELETE', async ({ session, kernels }) => {
  const { id } = session.kernel;
  await session.shutdown();
  await kernels.refreshRunning();
  assert.ok(![...kernels.running()].some(model => model.id === id));
});

check('a wrong token is refused as JSON, in a form that is understood', async () => {
  const answer = await nodeFetch(`${baseUrl}api/kernels`, { headers: { Authorization: 'token wrong' } });
  assert.equal(answer.status, 403);
  assert.equal((await answer.json()).message, 'Forbidden');
});

check('JupyterHub: name and password give a token', async world => {
  const answer = await api(`/users/${user}/tokens`, { method: 'POST', body: JSON.stringify({ auth: { username: user, password }, note: 'VS Code' }) }, '');
  assert.equal(answer.status, 201);
  world.made = await answer.json();
  assert.ok(world.made.token && world.made.id && world.made.user === user);
  const refused = await api(`/users/${user}/tokens`, { method: 'POST', body: JSON.stringify({ auth: { username: user, password: 'wrong' }, note: '' }) }, '');
  assert.equal(refused.status, 403);
});

check('JupyterHub: the server is started and found', async ({ made }) => {
  const started = await api(`/users/${user}/server`, { method: 'POST' }, made.token);
  assert.ok([201, 202].includes(started.status), String(started.status));
  let model;
  for (let tries = 0; tries < 200; tries += 1) {
    model = await (await api(`/users/${user}?include_stopped_servers`, {}, made.token)).json();
    if (model.servers[''] && model.servers[''].ready) {
      break;
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  const server = model.servers[''];
  assert.equal(model.name, user);
  assert.deepEqual([server.ready, server.stopped, server.pending], [true, false, null]);
  for (const field of ['name', 'url', 'started', 'last_activity', 'user_options', 'progress_url']) {
    assert.ok(field in server, field);
  }
  const specs = await nodeFetch(`${address}${server.url}api/kernelspecs`, { headers: { Authorization: `token ${made.token}` } });
  assert.equal(specs.status, 200);
  assert.ok((await specs.json()).default);
});

check('JupyterHub: the token is revoked, and opens nothing any more', async ({ made }) => {
  const gone = await api(`/users/${user}/tokens/${made.id}`, { method: 'DELETE' }, made.token);
  assert.equal(gone.status, 204);
  assert.equal((await api(`/users/${user}`, {}, made.token)).status, 403);
});

run(async () => ({ settings: settingsFor(`${baseUrl}?token=${token}`) }));
