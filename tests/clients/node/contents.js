// Files: what the contents API promises to front ends.
'use strict';

const assert = require('node:assert/strict');
const { ContentsManager, ServerConnection } = require('@jupyterlab/services');
const { baseUrl, check, run } = require('./harness');

const BYTES = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const NOTEBOOK = {
  cells: [{ cell_type: 'code', execution_count: null, id: 'a1', metadata: {}, outputs: [], source: 'print(1)' }],
  metadata: { kernelspec: { display_name: 'Python 3', language: 'python', name: 'python3' } },
  nbformat: 4,
  nbformat_minor: 5
};
const status = async (promise, code) =>
  assert.rejects(promise, error => {
    assert.equal(error.response && error.response.status, code, error.message);
    return true;
  });

async function download(contents, settings, path) {
  const url = await contents.getDownloadUrl(path);
  assert.ok(url.startsWith(settings.baseUrl), url);
  return ServerConnection.makeRequest(url, {}, settings);
}

check('a new folder, notebook and file get free names', async ({ contents }) => {
  const folder = await contents.newUntitled({ type: 'directory' });
  const notebook = await contents.newUntitled({ path: folder.path, type: 'notebook' });
  const file = await contents.newUntitled({ path: folder.path, type: 'file', ext: '.py' });
  assert.match(folder.path, /^Untitled Folder/);
  assert.match(notebook.path, /\/Untitled.*\.ipynb$/);
  assert.match(file.path, /\/untitled.*\.py$/);
  const again = await contents.newUntitled({ path: folder.path, type: 'notebook' });
  assert.notEqual(again.path, notebook.path);
  const listed = await contents.get(folder.path);
  assert.equal(listed.content.length, 3);
  await status(contents.delete('no-such'), 404);
  for (const each of listed.content) {
    await contents.delete(each.path);
  }
  await contents.delete(folder.path);
});

check('text is saved and read back', async ({ contents, root }) => {
  const saved = await contents.save(`${root}/a.txt`, { type: 'file', format: 'text', content: 'zwölf\n' });
  assert.equal(saved.name, 'a.txt');
  const read = await contents.get(`${root}/a.txt`);
  assert.deepEqual([read.content, read.format, read.mimetype, read.type, read.writable], ['zwölf\n', 'text', 'text/plain', 'file', true]);
  assert.equal(read.size, 7);
  const bare = await contents.get(`${root}/a.txt`, { content: false });
  assert.equal(bare.content, null);
});

check('bytes are saved and read back', async ({ contents, root }) => {
  await contents.save(`${root}/b.bin`, { type: 'file', format: 'base64', content: BYTES.toString('base64') });
  const read = await contents.get(`${root}/b.bin`, { type: 'file', format: 'base64', content: true });
  assert.deepEqual(Buffer.from(read.content, 'base64'), BYTES);
  assert.equal(read.format, 'base64');
  await status(contents.get(`${root}/b.bin`, { type: 'file', format: 'text', content: true }), 400);
});

check('a notebook is saved and read back, its hash is stable', async ({ contents, root }) => {
  await contents.save(`${root}/n.ipynb`, { type: 'notebook', format: 'json', content: NOTEBOOK });
  const read = await contents.get(`${root}/n.ipynb`, { type: 'notebook', content: true, hash: true });
  assert.equal(read.content.cells[0].source, 'print(1)');
  assert.equal(read.content.cells[0].id, 'a1');
  const again = await contents.get(`${root}/n.ipynb`, { content: false, hash: true });
  assert.equal(again.hash, read.hash);
  assert.ok(read.hash && read.hash_algorithm);
});

check('what is no notebook is refused with its reason', async ({ contents, root }) => {
  await contents.save(`${root}/broken.ipynb`, { type: 'file', format: 'text', content: '{"cells": ' });
  await status(contents.get(`${root}/broken.ipynb`, { type: 'notebook', content: true }), 400);
  await status(contents.get(root, { type: 'file', content: true }), 400);
});

check('names in every script, with spaces and signs', async ({ contents, settings, root }) => {
  for (const name of ['ünï çødé 数据 🐍.txt', "a b+c&d#e%20f?g;h=i'j.txt", '100% (copy).txt']) {
    const path = `${root}/${name}`;
    await contents.save(path, { type: 'file', format: 'text', content: name });
    const read = await contents.get(path);
    assert.deepEqual([read.name, read.path, read.content], [name, path, name]);
    const got = await download(contents, settings, path);
    assert.equal(got.status, 200);
    assert.equal(await got.text(), name);
    await contents.delete(path);
    await status(contents.get(path), 404);
  }
});

check('a rename moves the file, and never onto another', async ({ contents, root }) => {
  await contents.save(`${root}/old.txt`, { type: 'file', format: 'text', content: '1' });
  const moved = await contents.rename(`${root}/old.txt`, `${root}/new.txt`);
  assert.equal(moved.path, `${root}/new.txt`);
  await status(contents.get(`${root}/old.txt`), 404);
  await status(contents.rename(`${root}/new.txt`, `${root}/a.txt`), 409);
  await contents.overwrite(`${root}/new.txt`, `${root}/a.txt`);
  assert.equal((await contents.get(`${root}/a.txt`)).content, '1');
});

check('a copy gets a name of its own', async ({ contents, root }) => {
  const copy = await contents.copy(`${root}/a.txt`, root);
  assert.match(copy.name, /a-Copy\d+\.txt/);
  assert.equal((await contents.get(copy.path)).content, '1');
  const second = await contents.copy(`${root}/a.txt`, root);
  assert.notEqual(second.path, copy.path);
});

check('checkpoints are made, listed, restored and deleted', async ({ contents, root }) => {
  const path = `${root}/n.ipynb`;
  const made = await contents.createCheckpoint(path);
  await contents.save(path, { type: 'notebook', format: 'json', content: { ...NOTEBOOK, cells: [] } });
  assert.deepEqual((await contents.listCheckpoints(path)).map(each => each.id), [made.id]);
  await contents.restoreCheckpoint(path, made.id);
  assert.equal((await contents.get(path)).content.cells.length, 1);
  await contents.deleteCheckpoint(path, made.id);
  assert.deepEqual(await contents.listCheckpoints(path), []);
  await status(contents.restoreCheckpoint(path, 'no-such'), 404);
});

check('a large file arrives in chunks', async ({ contents, settings, root }) => {
  const path = `${root}/large.bin`;
  const pieces = [0, 1, 2, 3].map(n => Buffer.alloc(1024 * 1024, n + 1));
  for (const [index, piece] of pieces.entries()) {
    const chunk = index === pieces.length - 1 ? -1 : index + 1;
    await contents.save(path, { type: 'file', format: 'base64', content: piece.toString('base64'), chunk });
  }
  const got = await download(contents, settings, path);
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), Buffer.concat(pieces));
});

check('the download address gives the bytes, whole and in part', async ({ contents, settings, root }) => {
  const got = await download(contents, settings, `${root}/b.bin`);
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), BYTES);
  const url = await contents.getDownloadUrl(`${root}/b.bin`);
  const part = await ServerConnection.makeRequest(url, { headers: { Range: 'bytes=10-19' } }, settings);
  assert.equal(part.status, 206);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), BYTES.subarray(10, 20));
});

check('what changes is announced to the manager', async ({ contents, root }) => {
  const heard = [];
  const slot = (_, change) => heard.push(change.type);
  contents.fileChanged.connect(slot);
  await contents.save(`${root}/c.txt`, { type: 'file', format: 'text', content: '' });
  await contents.rename(`${root}/c.txt`, `${root}/d.txt`);
  await contents.delete(`${root}/d.txt`);
  contents.fileChanged.disconnect(slot);
  assert.deepEqual(heard, ['save', 'rename', 'delete']);
});

check('nothing outside the home can be named', async ({ settings }) => {
  for (const path of ['%2e%2e/x', '..%2f..%2fetc/passwd', 'a/%2e%2e/%2e%2e/x']) {
    const answer = await ServerConnection.makeRequest(`${baseUrl}api/contents/${path}`, {}, settings);
    assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
  }
});

run(
  async settings => {
    const contents = new ContentsManager({ serverSettings: settings });
    const root = `of-node-${Date.now()}`;
    await contents.save(root, { type: 'directory' });
    return { settings, contents, root };
  },
  async ({ contents, root }) => {
    const listed = await contents.get(root);
    for (const each of listed.content) {
      await contents.delete(each.path);
    }
    await contents.delete(root);
  }
);
