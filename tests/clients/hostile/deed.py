"""What a hostile script does once it runs anywhere: it tries all it could gain, and says on the console what it got.

The scripts hold no double quote, ``<``, ``&``, ``%``, ``#`` or line break, so that they go unchanged into attributes,
addresses, SVG, JSON and JavaScript.
"""

from __future__ import annotations

SIGN = "HOSTILE "
ELSEWHERE = "https://elsewhere.invalid"
"""Another site, which the test answers for."""

_DEED = """(async () => {
 const say = (kind, value) => console.log('SIGN' + JSON.stringify(['CASE', kind, String(value)]));
 say('start', self.origin);
 const attempt = async (kind, deed) => { try { const got = await deed(); if (got) say(kind, got); } catch (e) {} };
 const text = async (path) => { const answer = await fetch(path, { credentials: 'include' });
  return answer.ok ? (await answer.text()).slice(0, 80) : ''; };
 const post = (path, method) => fetch(path, { method, mode: method == 'POST' ? 'no-cors' : 'cors',
  credentials: 'include', body: method == 'DELETE' ? undefined : '{}' });
 const hub = 'HUB';
 await attempt('cookie', () => document.cookie);
 await attempt('cookie-set', () => { document.cookie = 'evil=1; path=/'; return document.cookie; });
 await attempt('storage', () => { localStorage.setItem('evil', '1'); return localStorage.getItem('evil'); });
 await attempt('parent', () => self != parent ? parent.document.documentElement.outerHTML.slice(0, 40) : '');
 await attempt('opener', () => self.opener ? self.opener.document.documentElement.outerHTML.slice(0, 40) : '');
 await attempt('top', () => { if (self != top) top.location = 'ELSEWHERE/top?evil'; });
 await attempt('opener-led', () => { if (self.opener) self.opener.location = 'ELSEWHERE/opener?evil'; });
 await attempt('alert', () => { alert('evil'); });
 await attempt('window', () => { const opened = open(hub + '/hub/home'); if (!opened) return '';
  return opened.document.documentElement ? 'opened' : ''; });
 await attempt('form', () => { const form = document.createElement('form'); form.method = 'post';
  form.target = '_blank'; form.action = hub + '/hub/admin/people?evil=form'; document.body.append(form);
  form.submit(); });
 await attempt('worker', async () => (await navigator.serviceWorker.register(
  hub + '/user/USER/files/h/worker.js')).scope);
 await Promise.all([
  attempt('read-user', () => text(hub + '/hub/api/user')),
  attempt('read-users', () => text(hub + '/hub/api/users')),
  attempt('read-files', () => text(hub + '/user/USER/api/contents')),
  attempt('read-people', async () => (await text(hub + '/hub/admin/people')).includes('presence')),
  attempt('add-user', () => post(hub + '/hub/api/users/evil-CASE', 'POST')),
  attempt('delete-file', () => post(hub + '/user/USER/api/contents/precious-evil.txt', 'DELETE')),
  attempt('kernel', () => post(hub + '/user/USER/api/kernels?evil', 'POST')),
  attempt('sign-out', () => post(hub + '/hub/home/sign-out-everywhere?evil', 'POST')),
  attempt('beacon', () => { navigator.sendBeacon(hub + '/hub/logout?evil', ''); }),
  attempt('socket', () => new Promise((yes, no) => {
   const socket = new WebSocket(hub.replace('http', 'ws') + '/user/USER/api/events/subscribe');
   socket.onopen = () => yes('open'); socket.onerror = no; })),
 ]);
 say('done', '');
})()"""


def deed(case: str, hub: str, user: str) -> str:
    """The script of the case `case`, against the hub at the address `hub` and its user `user`."""
    script = " ".join(line.strip() for line in _DEED.splitlines())
    # What fetch gives in no-cors mode is opaque: that such a request was answered is seen by the test, not here.
    script = script.replace("post(hub", "void post(hub")
    for name, value in {"SIGN": SIGN, "CASE": case, "HUB": hub, "USER": user, "ELSEWHERE": ELSEWHERE}.items():
        script = script.replace(name, value)
    assert not set(script) & set('"<&%#\n'), script
    return script


def mark(case: str) -> str:
    """A script short enough for a file's name, without a slash: it only says that it ran, and on which origin."""
    return f"console.log('{SIGN}'+JSON.stringify(['{case}','begin',self.origin]))"
