// How VS Code's Jupyter extension understands an address, and connects there: @jupyterlab/services with node-fetch and ws.
'use strict';

const nodeFetch = require('node-fetch');
const WebSocket = require('ws');
const { ServerConnection } = require('@jupyterlab/services');

// Only a path that is exactly /lab or /tree is taken off the address; the token comes from its query.
function parseUri(uri) {
  const url = new URL(uri);
  const path = /^\/(lab|tree)\/?$/.test(url.pathname) ? '/' : url.pathname;
  return { base: `${url.origin}${path.endsWith('/') ? path : `${path}/`}`, token: url.searchParams.get('token') || '' };
}

function settingsFor(uri) {
  const parsed = parseUri(uri);
  class EditorSocket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers: { Authorization: `token ${parsed.token}` } });
    }
  }
  return ServerConnection.makeSettings({
    baseUrl: parsed.base,
    wsUrl: parsed.base.replace(/^http/, 'ws'),
    token: parsed.token,
    appendToken: true,
    init: { cache: 'no-store', credentials: 'same-origin' },
    fetch: nodeFetch,
    Request: nodeFetch.Request,
    Headers: nodeFetch.Headers,
    WebSocket: EditorSocket
  });
}

module.exports = { parseUri, settingsFor };
