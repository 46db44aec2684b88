// Terminals: shells in the user's container.
'use strict';

const assert = require('node:assert/strict');
const { TerminalManager } = require('@jupyterlab/services');
const { check, run } = require('./harness');

// Collect what a terminal prints until `wanted` is in it.
function printed(terminal, wanted) {
  return new Promise(resolve => {
    let all = '';
    const slot = (_, message) => {
      if (message.type === 'stdout') {
        all += message.content.join('');
        if (wanted.test(all)) {
          terminal.messageReceived.disconnect(slot);
          resolve(all);
        }
      }
    };
    terminal.messageReceived.connect(slot);
  });
}

check('a terminal starts and is listed', async world => {
  world.terminal = await world.manager.startNew();
  await world.manager.refreshRunning();
  assert.deepEqual([...world.manager.running()].map(model => model.name), [world.terminal.name]);
});

check('what is typed runs, and what it prints comes back', async ({ terminal }) => {
  const answer = printed(terminal, /sum=42/);
  terminal.send({ type: 'stdin', content: ['echo sum=$((6*7))\r'] });
  await answer;
});

check('its size is what the page says', async ({ terminal }) => {
  terminal.send({ type: 'set_size', content: [41, 111, 800, 600] });
  const answer = printed(terminal, /size 41 111/);
  terminal.send({ type: 'stdin', content: ['echo size $(stty size)\r'] });
  await answer;
});

check('text in every script goes through', async ({ terminal }) => {
  const answer = printed(terminal, /<数据🐍>/);
  terminal.send({ type: 'stdin', content: ["printf '<%s>\\n' 数据🐍\r"] });
  await answer;
});

check('a second client sees the same terminal, and so does one that reconnects', async ({ manager, terminal }) => {
  const other = manager.connectTo({ model: { name: terminal.name } });
  const seen = printed(other, /both=3/);
  terminal.send({ type: 'stdin', content: ['echo both=$((1+2))\r'] });
  await seen;
  other.dispose();
  await terminal.reconnect();
  const again = printed(terminal, /again=4/);
  terminal.send({ type: 'stdin', content: ['echo again=$((2+2))\r'] });
  await again;
});

check('a terminal that is shut down is gone', async ({ manager, terminal }) => {
  await terminal.shutdown();
  await manager.refreshRunning();
  assert.deepEqual([...manager.running()], []);
});

check('two terminals end together', async ({ manager }) => {
  await manager.startNew();
  await manager.startNew();
  await manager.shutdownAll();
  await manager.refreshRunning();
  assert.deepEqual([...manager.running()], []);
});

run(async settings => {
  const manager = new TerminalManager({ serverSettings: settings, standby: 'never' });
  await manager.ready;
  await manager.shutdownAll();
  return { settings, manager };
});
