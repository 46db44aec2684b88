// VS Code with a notebook of the laptop, of which the hub has no file: its cells run on without it, and what becomes of them.
//
// As its Jupyter extension does it (kernels/jupyter/session and kernels/execution in microsoft/vscode-jupyter): the
// session's path is made up, a cell is named by the address of its editor, code of its own is run besides, and who comes
// back to a cell that runs listens for messages of the request whose id was written down.
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const nodeFetch = require('node-fetch');
const { KernelManager, SessionManager } = require('@jupyterlab/services');
const { baseUrl, check, run, token } = require('./harness');
const { settingsFor } = require('./editor');

const LINES = 12;
const ALL = Array.from({ length: LINES }, (_, i) => `line ${i}\n`).join('');
const code = mark => `import time # ${mark}\nfor i in range(${LINES}):\n    print('line', i)\n    time.sleep(0.25)`;
const seconds = span => new Promise(resolve => setTimeout(resolve, span * 1000));

// One window of VS Code.
async function open() {
  const serverSettings = settingsFor(`${baseUrl}?token=${token}`);
  const kernels = new KernelManager({ serverSettings, standby: 'never' });
  const sessions = new SessionManager({ serverSettings, kernelManager: kernels, standby: 'never' });
  await Promise.all([kernels.ready, sessions.ready]);
  return { kernels, sessions, close: () => [...[sessions, kernels]].forEach(manager => manager.dispose()) };
}

async function start(editor, name, path = `${name}-jvsc-${randomUUID()}${randomUUID()}.ipynb`) {
  const session = await editor.sessions.startNew({
    path,
    name: `${name}-${randomUUID()}.ipynb`,
    type: 'notebook',
    kernel: { name: 'python3' }
  });
  await session.kernel.info;
  const besides = { code: 'import os; os.getcwd();', silent: false, stop_on_error: false, allow_stdin: true, store_history: false };
  await session.kernel.requestExecute(besides).done;
  return session;
}

// Run a cell and give, when its first line is there, what it prints from now on.
async function begin(session, mark, fragment = 'W0sZmlsZQ%3D%3D') {
  const cellId = `vscode-notebook-cell:/c%3A/Users/ada/My%20Notebooks/${encodeURIComponent(mark)}.ipynb#${fragment}`;
  const content = { code: code(mark), silent: false, stop_on_error: false, allow_stdin: true, store_history: true };
  const future = session.kernel.requestExecute(content, false, { cellId, tags: ['of the cell'] });
  const cell = { future, text: '', request: future.msg.header.msg_id };
  await new Promise(resolve => {
    future.onIOPub = message => {
      cell.text += message.content.text || '';
      if (cell.text) {
        resolve();
      }
    };
  });
  return cell;
}

const get = async path => {
  const answer = await nodeFetch(`${baseUrl}api/${path}`, { headers: { Authorization: `token ${token}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
};
const missed = async () => (await get('kernelhub/missed')).missed;
const printed = async result =>
  (await get(`kernelhub/missed/${result.id}`)).cells[0].outputs.map(output => [output.text].flat().join('')).join('');

async function missedOf(mark) {
  for (;;) {
    const found = (await missed()).find(result => result.code.includes(`# ${mark}`));
    if (found) {
      return found;
    }
    await seconds(0.2);
  }
}

check('a connection that broke is made again, and the cell is told all that it printed, and its end', async world => {
  world.session = await start(world.editor, 'broken');
  const { kernel } = world.session;
  const cell = await begin(world.session, 'broken');
  const { clientId } = kernel;
  kernel._ws.terminate();
  assert.equal((await cell.future.done).content.status, 'ok');
  assert.equal(cell.text, ALL);
  assert.equal(kernel.clientId, clientId);
});

check('a window that was closed while the cell ran', async world => {
  const editor = await open();
  world.closed = await start(editor, 'closed');
  world.closedId = world.closed.kernel.id;
  await begin(world.closed, 'closed');
  editor.close(); // remote kernels are left running
  world.closed.dispose();
});

check('a window that comes back to a cell that runs goes on with it', async world => {
  const first = await open();
  const session = await start(first, 'resumed');
  const cell = await begin(session, 'resumed');
  first.close();
  session.dispose();
  const second = await open();
  await second.sessions.refreshRunning();
  const model = [...second.sessions.running()].find(each => each.path.startsWith('resumed-jvsc-'));
  const again = second.sessions.connectTo({ model });
  const told = [];
  await new Promise(resolve => {
    again.kernel.anyMessage.connect((_, { msg, direction }) => {
      if (direction === 'recv' && msg.parent_header.msg_id === cell.request) {
        told.push(msg);
        if (msg.header.msg_type === 'status' && msg.content.execution_state === 'idle') {
          resolve();
        }
      }
    });
  });
  const rest = told.map(message => message.content.text || '').join('');
  assert.ok(rest && ALL.endsWith(rest), rest);
  assert.ok(!(await missed()).some(result => result.code.includes('# resumed')), 'while it is open it may get the rest');
  again.dispose();
  second.close();
});

for (const mark of ['closed', 'resumed']) {
  check(`what nobody got wholly is among the results that were missed: ${mark}`, async () => {
    const result = await missedOf(mark);
    assert.equal(result.path, `${mark}.ipynb`);
    assert.match(result.reason, /not among your files here/);
    assert.equal(await printed(result), ALL);
  });
}

check('a window that comes back to a cell that ended has its kernel and its variables', async ({ closedId }) => {
  const editor = await open();
  const model = [...editor.sessions.running()].find(each => each.kernel.id === closedId);
  const again = editor.sessions.connectTo({ model });
  const cellId = 'vscode-notebook-cell:/c%3A/closed.ipynb#W1sZmlsZQ%3D%3D';
  const future = again.kernel.requestExecute({ code: 'i # again' }, false, { cellId });
  let result = '';
  future.onIOPub = message => (result += (message.content.data || {})['text/plain'] || '');
  await future.done;
  assert.equal(result, String(LINES - 1));
  await seconds(1); // what was received a moment ago is acknowledged
  again.dispose();
  editor.close();
});

check('a notebook in a folder that the laptop has from the hub is written, once it is closed', async () => {
  const content = {
    cells: [{ cell_type: 'code', id: 'its-id', metadata: {}, source: code('shared'), outputs: [], execution_count: null }],
    metadata: {}, nbformat: 4, nbformat_minor: 5
  };
  const headers = { Authorization: `token ${token}`, 'Content-Type': 'application/json' };
  const body = JSON.stringify({ type: 'notebook', format: 'json', content });
  assert.equal((await nodeFetch(`${baseUrl}api/contents/shared.ipynb`, { method: 'PUT', headers, body })).status, 201);
  const editor = await open();
  const session = await start(editor, 'shared', 'shared.ipynb');
  await begin(session, 'shared');
  session.dispose();
  editor.close();
  for (;;) {
    const file = JSON.parse((await get('contents/shared.ipynb?type=file&format=text')).content);
    if (file.cells[0].outputs.map(output => [output.text].flat().join('')).join('') === ALL) {
      break;
    }
    await seconds(0.2);
  }
});

check('what was got is not among them, nor what the editor ran besides', async ({ session }) => {
  await session.shutdown();
  await seconds(4);
  const kept = (await missed()).map(result => result.code.replace(/^import time # (\w+) …$/, '$1'));
  assert.deepEqual(kept.sort(), ['closed', 'resumed']);
});

check('no other file was made in the home', async () => {
  assert.deepEqual((await get('contents')).content.map(each => each.name), ['shared.ipynb']);
});

run(async () => ({ editor: await open() }));
