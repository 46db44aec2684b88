// Sessions: which notebook has which kernel.
'use strict';

const assert = require('node:assert/strict');
const { KernelAPI, KernelManager, SessionAPI, SessionManager } = require('@jupyterlab/services');
const { check, run } = require('./harness');

check('a session starts with a kernel that runs', async world => {
  const { sessions } = world;
  world.session = await sessions.startNew({ path: 'of node.ipynb', name: 'of node.ipynb', type: 'notebook', kernel: { name: 'python3' } });
  assert.equal(world.session.kernel.name, 'python3');
  assert.equal((await world.session.kernel.requestExecute({ code: '1' }).done).content.status, 'ok');
});

check('it is found by its id and by its path', async ({ sessions, session }) => {
  assert.equal((await sessions.findById(session.id)).path, 'of node.ipynb');
  assert.equal((await sessions.findByPath('of node.ipynb')).id, session.id);
  await sessions.refreshRunning();
  assert.deepEqual([...sessions.running()].map(model => model.id), [session.id]);
});

check('another session for the same path is the same one', async ({ sessions, session }) => {
  const again = await sessions.startNew({ path: 'of node.ipynb', name: '', type: 'notebook', kernel: { name: 'python3' } });
  assert.deepEqual([again.id, again.kernel.id], [session.id, session.kernel.id]);
  again.dispose();
});

check('its path, name and type are changed', async ({ sessions, session }) => {
  await session.setPath('föö/bär.ipynb');
  await session.setName('bär');
  await session.setType('console');
  const model = await SessionAPI.getSessionModel(session.id, sessions.serverSettings);
  assert.deepEqual([model.path, model.name, model.type], ['föö/bär.ipynb', 'bär', 'console']);
});

check('its kernel is changed for a new one, and the old one ends', async ({ kernels, session }) => {
  const old = session.kernel.id;
  const kernel = await session.changeKernel({ name: 'python3' });
  assert.notEqual(kernel.id, old);
  await kernel.info;
  await kernels.refreshRunning();
  assert.deepEqual([...kernels.running()].map(model => model.id), [kernel.id]);
});

check('a session is made for a kernel that runs already', async ({ sessions, kernels }) => {
  const kernel = await kernels.startNew({ name: 'python3' });
  const session = await sessions.startNew({ path: 'other.py', name: 'other.py', type: 'console', kernel: { id: kernel.id } });
  assert.equal(session.kernel.id, kernel.id);
  await session.shutdown();
  assert.equal(await KernelAPI.getKernelModel(kernel.id, kernels.serverSettings), undefined);
});

check('an unknown kernel is refused in words', async ({ sessions }) => {
  await assert.rejects(
    sessions.startNew({ path: 'x.ipynb', name: '', type: 'notebook', kernel: { name: 'no-such' } }),
    error => {
      assert.ok(error.response.status >= 400, String(error.response.status));
      assert.match(error.message, /no-such/);
      return true;
    }
  );
});

check('it is shut down with its kernel', async ({ sessions, kernels, session }) => {
  const { id, kernel } = session;
  await session.shutdown();
  await assert.rejects(SessionAPI.getSessionModel(id, sessions.serverSettings), error => error.response.status === 404);
  assert.equal(await KernelAPI.getKernelModel(kernel.id, kernels.serverSettings), undefined);
});

check('two at once, shut down together', async ({ sessions }) => {
  await Promise.all(['1.ipynb', '2.ipynb'].map(path => sessions.startNew({ path, name: path, type: 'notebook', kernel: { name: 'python3' } })));
  assert.equal((await SessionAPI.listRunning(sessions.serverSettings)).length, 2);
  await sessions.shutdownAll();
  assert.deepEqual(await SessionAPI.listRunning(sessions.serverSettings), []);
});

run(async settings => {
  const kernels = new KernelManager({ serverSettings: settings, standby: 'never' });
  const sessions = new SessionManager({ serverSettings: settings, kernelManager: kernels, standby: 'never' });
  await Promise.all([kernels.ready, sessions.ready]);
  await sessions.shutdownAll();
  return { settings, kernels, sessions };
});
