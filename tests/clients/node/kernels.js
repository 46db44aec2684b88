// Kernels: life cycle, messages of every channel, and what front ends expect of a connection that is lost.
'use strict';

const assert = require('node:assert/strict');
const { KernelAPI, KernelManager, ServerConnection } = require('@jupyterlab/services');
const { check, run, until } = require('./harness');

// Run code; what it put out, by kind, and the reply.
async function execute(kernel, code, options = {}) {
  const seen = { stream: '', results: [], errors: [], inputs: 0, updates: [] };
  const future = kernel.requestExecute({ code, ...options });
  future.onIOPub = message => {
    const { content, header } = message;
    if (header.msg_type === 'stream') {
      seen.stream += content.text;
    } else if (header.msg_type === 'execute_result' || header.msg_type === 'display_data') {
      seen.results.push(content.data);
    } else if (header.msg_type === 'error') {
      seen.errors.push(content);
    } else if (header.msg_type === 'execute_input') {
      seen.inputs += 1;
    }
  };
  seen.reply = (await future.done).content;
  return seen;
}

const text = async (kernel, code) => (await execute(kernel, code)).results[0]['text/plain'];

check('a kernel that was started is listed and found by its id', async ({ manager, kernel }) => {
  await manager.refreshRunning();
  assert.deepEqual([...manager.running()].map(model => model.id), [kernel.id]);
  const model = await manager.findById(kernel.id);
  assert.equal(model.name, 'python3');
  assert.ok(!Number.isNaN(Date.parse(model.last_activity)));
});

check('kernel_info says what it is, and its spec is known', async ({ kernel }) => {
  const info = await kernel.info;
  assert.equal(info.language_info.name, 'python');
  assert.equal((await kernel.spec).language, 'python');
});

check('the channels speak the v1 protocol', async ({ kernel }) => {
  assert.equal(kernel._selectedProtocol, 'v1.kernel.websocket.jupyter.org');
});

check('code runs: stream, result, error, reply and idle', async ({ kernel }) => {
  const ran = await execute(kernel, 'print("hello"); 6 * 7');
  assert.equal(ran.stream, 'hello\n');
  assert.equal(ran.results[0]['text/plain'], '42');
  assert.equal(ran.reply.status, 'ok');
  assert.equal(ran.inputs, 1);
  const failed = await execute(kernel, '1 / 0');
  assert.equal(failed.errors[0].ename, 'ZeroDivisionError');
  assert.equal(failed.reply.status, 'error');
  await until(kernel.statusChanged, () => kernel.status === 'idle');
});

check('fifty requests sent at once are answered in their order', async ({ kernel }) => {
  await execute(kernel, 'seen = []');
  const replies = [];
  const all = Array.from({ length: 50 }, (_, number) => {
    const future = kernel.requestExecute({ code: `seen.append(${number}); print(${number})` });
    let printed = '';
    future.onIOPub = message => (printed += message.content.text || '');
    return future.done.then(() => {
      assert.equal(printed, `${number}\n`);
      replies.push(number);
    });
  });
  await Promise.all(all);
  assert.deepEqual(replies, Array.from({ length: 50 }, (_, number) => number));
  assert.equal(await text(kernel, 'seen == list(range(50))'), 'True');
});

check('completion, inspection, history, is_complete and comm_info are answered', async ({ kernel }) => {
  await execute(kernel, '%config IPCompleter.use_jedi = False'); // which takes seconds to import
  const complete = await kernel.requestComplete({ code: 'impor', cursor_pos: 5 });
  assert.ok(complete.content.matches.includes('import'));
  const inspected = await kernel.requestInspect({ code: 'print', cursor_pos: 5, detail_level: 0 });
  assert.ok(inspected.content.found);
  const history = await kernel.requestHistory({
    hist_access_type: 'tail', n: 3, output: false, raw: true, session: 0, start: 0, stop: 0, pattern: '', unique: false
  });
  assert.equal(history.content.status, 'ok');
  assert.equal((await kernel.requestIsComplete({ code: 'for x in y:' })).content.status, 'incomplete');
  assert.equal((await kernel.requestCommInfo({})).content.status, 'ok');
});

check('input() asks, and gets what is typed', async ({ kernel }) => {
  const future = kernel.requestExecute({ code: 'print("hello", input("name? "))', allow_stdin: true });
  let printed = '';
  future.onIOPub = message => (printed += message.content.text || '');
  future.onStdin = message => {
    assert.equal(message.content.prompt, 'name? ');
    future.sendInputReply({ status: 'ok', value: 'Ada' }, message.header);
  };
  await future.done;
  assert.equal(printed.trim(), 'hello Ada');
});

check('a display is updated', async ({ kernel }) => {
  const future = kernel.requestExecute({
    code: 'from IPython.display import display\nh = display("a", display_id="d1")\nh.update("b")'
  });
  const seen = [];
  future.onIOPub = message => message.content.transient && seen.push([message.header.msg_type, message.content.data['text/plain']]);
  await future.done;
  assert.deepEqual(seen, [['display_data', "'a'"], ['update_display_data', "'b'"]]);
});

check('comms carry binary buffers both ways', async ({ kernel }) => {
  kernel.registerCommTarget('to-page', comm => {
    comm.onMsg = message => {
      const bytes = message.buffers.map(buffer => new Uint8Array(buffer.buffer || buffer, buffer.byteOffset, buffer.byteLength));
      comm.send({ got: message.content.data.n }, {}, bytes.map(each => each.map(byte => byte ^ 255)));
    };
  });
  await execute(
    kernel,
    `from comm import create_comm
answers = []
c = create_comm("to-page")
c.on_msg(lambda m: answers.append((m["content"]["data"], [bytes(b) for b in m["buffers"]])))
c.send({"n": 1}, buffers=[bytes(range(256)), b"", b"\\x00\\xff"])`
  );
  let answer = '';
  for (let tries = 0; tries < 100 && !answer.includes('got'); tries += 1) {
    answer = await text(kernel, 'repr(answers)');
  }
  assert.equal(
    await text(kernel, 'answers == [({"got": 1}, [bytes(255 - i for i in range(256)), b"", b"\\xff\\x00"])]'),
    'True',
    answer
  );
});

check('a comm that the page opens is heard by the kernel', async ({ kernel }) => {
  await execute(
    kernel,
    `heard = []
from comm import get_comm_manager
def _open(c, m):
    heard.append(m["content"]["data"])
    c.send({"hello": True}, buffers=[b"\\x01\\x02"])
get_comm_manager().register_target("from-page", _open)`
  );
  const comm = kernel.createComm('from-page');
  const answered = new Promise(resolve => (comm.onMsg = resolve));
  await comm.open({ x: [1, 2] }).done;
  const answer = await answered;
  assert.deepEqual(answer.content.data, { hello: true });
  const [buffer] = answer.buffers;
  assert.deepEqual([...new Uint8Array(buffer.buffer || buffer, buffer.byteOffset, buffer.byteLength)], [1, 2]);
  assert.equal(await text(kernel, 'heard'), "[{'x': [1, 2]}]");
  await comm.close().done;
});

check('a message of 5 MB goes through, both ways', async ({ kernel }) => {
  const big = 'x'.repeat(5 * 1024 * 1024);
  const ran = await execute(kernel, `big = "${big}"; big`);
  assert.equal(ran.results[0]['text/plain'].length, big.length + 2);
});

check('10,000 lines arrive whole and in order', async ({ kernel }) => {
  const ran = await execute(kernel, 'for i in range(10_000): print(i)');
  assert.equal(ran.stream, Array.from({ length: 10000 }, (_, i) => `${i}\n`).join(''));
});

check('a cell is interrupted', async ({ kernel }) => {
  const future = kernel.requestExecute({ code: 'import time\nprint("go", flush=True)\nwhile True: time.sleep(0.01)' });
  await new Promise(resolve => (future.onIOPub = message => message.header.msg_type === 'stream' && resolve()));
  await kernel.interrupt();
  assert.equal((await future.done).content.ename, 'KeyboardInterrupt');
});

check('two clients share one state; input() asks only the one that ran it', async ({ manager, kernel }) => {
  const other = manager.connectTo({ model: kernel.model });
  await other.info;
  await execute(kernel, 'shared = "yes"');
  assert.equal(await text(other, 'shared'), "'yes'");
  const overheard = [];
  other.iopubMessage.connect((_, message) => overheard.push(message.header.msg_type));
  let asked = false;
  other.anyMessage.connect((_, { msg }) => (asked = asked || msg.header.msg_type === 'input_request'));
  const future = kernel.requestExecute({ code: 'print(input())', allow_stdin: true });
  future.onStdin = message => future.sendInputReply({ status: 'ok', value: 'mine' }, message.header);
  await future.done;
  await execute(other, '1');
  assert.ok(overheard.includes('stream'));
  assert.equal(asked, false);
  other.dispose();
});

check('a client reconnects and goes on', async ({ kernel }) => {
  await execute(kernel, 'kept = 5');
  await kernel.reconnect();
  assert.equal(kernel.connectionStatus, 'connected');
  assert.equal(await text(kernel, 'kept'), '5');
});

check('a lost connection comes back by itself', async ({ kernel }) => {
  const back = until(kernel.connectionStatusChanged, () => kernel.connectionStatus === 'connecting');
  kernel._ws.terminate();
  await back;
  await until(kernel.connectionStatusChanged, () => kernel.connectionStatus === 'connected');
  assert.equal(await text(kernel, 'kept'), '5');
});

check('the older JSON framing works too, buffers included', async ({ manager, kernel, settings }) => {
  const Socket = settings.WebSocket;
  class PlainSocket extends Socket {
    constructor(url) {
      super(url);
    }
  }
  const plain = new KernelManager({ serverSettings: { ...settings, WebSocket: PlainSocket }, standby: 'never' });
  const old = plain.connectTo({ model: kernel.model });
  await old.info;
  assert.equal(old._selectedProtocol, '');
  assert.equal(await text(old, 'kept + 1'), '6');
  const got = new Promise(resolve => old.registerCommTarget('old', comm => (comm.onMsg = resolve)));
  await execute(old, 'c = create_comm("old"); c.send({}, buffers=[b"\\x07\\x08"])');
  const [buffer] = (await got).buffers;
  assert.deepEqual([...new Uint8Array(buffer.buffer || buffer, buffer.byteOffset, buffer.byteLength)], [7, 8]);
  old.dispose();
  plain.dispose();
});

check('a subshell answers while the main shell is busy', async ({ manager, kernel }) => {
  assert.ok(kernel.supportsSubshells);
  const created = await kernel.requestCreateSubshell({}).done;
  const id = created.content.subshell_id;
  assert.ok((await kernel.requestListSubshell({}).done).content.subshell_id.includes(id));
  const side = manager.connectTo({ model: kernel.model, subshellId: id });
  await side.info;
  const busy = kernel.requestExecute({ code: 'import threading\nflag = threading.Event()\nprint("go", flush=True)\nflag.wait(20)' });
  await new Promise(resolve => (busy.onIOPub = message => message.header.msg_type === 'stream' && resolve()));
  await execute(side, 'flag.set()');
  assert.equal((await busy.done).content.status, 'ok');
  side.subshellId = null;
  side.dispose();
  assert.equal((await kernel.requestDeleteSubshell({ subshell_id: id }).done).content.status, 'ok');
});

check('the debugger is reached on the control channel', async ({ kernel }) => {
  const request = command => kernel.requestDebug({ type: 'request', seq: 0, ...command }).done;
  const info = await request({ command: 'debugInfo' });
  assert.equal(info.content.success, true);
  const begun = await request({
    command: 'initialize',
    arguments: { clientID: 'test', clientName: 'test', adapterID: '', pathFormat: 'path', linesStartAt1: true, columnsStartAt1: true }
  });
  assert.equal(begun.content.success, true);
  assert.equal(begun.content.command, 'initialize');
});

check('a restart keeps the id and forgets the variables', async ({ kernel }) => {
  const { id } = kernel;
  await execute(kernel, 'gone = 1');
  await kernel.restart();
  assert.equal(kernel.id, id);
  assert.equal(await text(kernel, '"gone" in globals()'), 'False');
});

check('a kernel that dies is started again, and the client is told', async ({ kernel }) => {
  await execute(kernel, 'gone = 1');
  const told = [];
  const slot = (_, status) => told.push(status);
  kernel.statusChanged.connect(slot);
  kernel.requestExecute({ code: 'import os; os._exit(1)' }).done.catch(() => undefined);
  await until(kernel.statusChanged, () => kernel.status === 'autorestarting');
  await until(kernel.statusChanged, () => kernel.status === 'idle');
  kernel.statusChanged.disconnect(slot);
  assert.equal(await text(kernel, '"gone" in globals()'), 'False');
  assert.ok(!told.includes('dead'), told.join());
});

check('an id of the client\'s choosing is kept, and a second use of it refused', async ({ settings }) => {
  const id = 'c0ffee00-0000-4000-8000-000000000001';
  const send = () =>
    ServerConnection.makeRequest(settings.baseUrl + 'api/kernels', { method: 'POST', body: JSON.stringify({ name: 'python3', kernel_id: id }) }, settings);
  const made = await send();
  assert.equal(made.status, 201);
  assert.equal((await made.json()).id, id);
  assert.equal((await send()).status, 409);
  await KernelAPI.shutdownKernel(id, settings);
});

check('a kernel that is shut down is dead for its clients and gone from the list', async ({ manager, kernel }) => {
  const { id } = kernel;
  const { serverSettings } = manager;
  await kernel.shutdown();
  assert.equal(kernel.status, 'dead');
  assert.deepEqual(await KernelAPI.listRunning(serverSettings), []);
  assert.equal(await KernelAPI.getKernelModel(id, serverSettings), undefined);
  await KernelAPI.shutdownKernel(id, serverSettings);
  await assert.rejects(KernelAPI.interruptKernel(id, serverSettings), error => error.response.status === 404);
});

check('an unknown kernelspec is refused with a reason', async ({ manager }) => {
  await assert.rejects(manager.startNew({ name: 'no-such-kernel' }), error => {
    assert.ok(error.response.status >= 400 && error.response.status < 600);
    assert.ok(error.message.length > 10, error.message);
    return true;
  });
});

run(
  async settings => {
    const manager = new KernelManager({ serverSettings: settings, standby: 'never' });
    await manager.ready;
    await manager.shutdownAll();
    const kernel = await manager.startNew({ name: 'python3' });
    await kernel.info;
    return { settings, manager, kernel };
  },
  async ({ manager }) => manager.shutdownAll()
);
