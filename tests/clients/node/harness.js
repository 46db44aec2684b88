// What the scripts of this folder share: who they are at the hub, and how they report.
//
// A script registers named checks and calls run(); each check prints one JSON line {name, ok, ms, error}.
// The environment says where the hub is (KERNELHUB_ADDRESS), whose it is (KERNELHUB_USER), and how to prove it:
// KERNELHUB_TOKEN, or KERNELHUB_PASSWORD for a sign-in with cookies and the form token, as a browser has them.
'use strict';

const WebSocket = require('ws');
const { PageConfig } = require('@jupyterlab/coreutils');
const { ServerConnection } = require('@jupyterlab/services');

const address = process.env.KERNELHUB_ADDRESS;
const user = process.env.KERNELHUB_USER;
const token = process.env.KERNELHUB_TOKEN || '';
const password = process.env.KERNELHUB_PASSWORD || '';
const baseUrl = `${address}/user/${user}/`;
const CHECK_SECONDS = 40;

// The library says on the console what it does; only our lines belong on standard output.
console.debug = console.info = console.log = console.warn = () => undefined;

// ---- who we are

class Jar {
  constructor() {
    this.cookies = new Map();
  }

  keep(response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(';');
      const equals = pair.indexOf('=');
      this.cookies.set(pair.slice(0, equals), pair.slice(equals + 1));
    }
  }

  get header() {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }
}

async function signIn() {
  const jar = new Jar();
  const form = await fetch(`${address}/hub/login`);
  jar.keep(form);
  const [, formToken] = (await form.text()).match(/name="_xsrf" value="([^"]+)"/);
  const sent = new URLSearchParams({ _xsrf: formToken, username: user, password, next: '' });
  const answer = await fetch(`${address}/hub/login`, {
    method: 'POST',
    body: sent,
    redirect: 'manual',
    headers: { Cookie: jar.header, Origin: address }
  });
  if (answer.status !== 302) {
    throw new Error(`sign-in answered ${answer.status}`);
  }
  jar.keep(answer);
  jar.keep(await fetch(`${baseUrl}lab`, { headers: { Cookie: jar.header, Accept: 'text/html' } }));
  return jar;
}

async function byCookies() {
  const jar = await signIn();
  const send = request => {
    request.headers.set('Cookie', jar.header);
    request.headers.set('Origin', address);
    request.headers.set('X-XSRFToken', jar.cookies.get('_xsrf'));
    return fetch(request);
  };
  class PageSocket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers: { Cookie: jar.header, Origin: address } });
    }
  }
  return ServerConnection.makeSettings({ baseUrl, token: '', appUrl: '/lab', fetch: send, WebSocket: PageSocket });
}

async function connect() {
  PageConfig.setOption('terminalsAvailable', 'true');
  return token ? ServerConnection.makeSettings({ baseUrl, token, appUrl: '/lab' }) : byCookies();
}

// ---- how we report

const checks = [];

function check(name, body) {
  checks.push({ name, body });
}

function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function run(prepare, tidy) {
  process.on('unhandledRejection', () => undefined); // polls that end with their manager
  let world;
  const report = line => process.stdout.write(JSON.stringify(line) + '\n');
  const all = [{ name: 'prepare', body: async () => (world = await prepare(await connect())) }, ...checks];
  if (tidy) {
    all.push({ name: 'tidy up', body: () => tidy(world) });
  }
  for (const { name, body } of all) {
    const began = Date.now();
    let error = null;
    try {
      await within(CHECK_SECONDS, name, body(world));
    } catch (caught) {
      error = String((caught && caught.stack) || caught);
    }
    report({ name, ok: error === null, ms: Date.now() - began, error });
    if (name === 'prepare' && error !== null) {
      break;
    }
  }
  process.exit(0);
}

// Resolve when `test()` is true, looked at whenever `signal` is emitted.
function until(signal, test) {
  if (test()) {
    return Promise.resolve();
  }
  return new Promise(resolve => {
    const slot = (sender, argument) => {
      if (test(argument)) {
        signal.disconnect(slot);
        resolve();
      }
    };
    signal.connect(slot);
  });
}

module.exports = { address, user, token, password, baseUrl, check, run, until, within, connect };
