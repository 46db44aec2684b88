"""Forty hostile files, each of which runs a deed where something takes it for what it says it is."""

# ruff: noqa: E501 - payloads read better whole
from __future__ import annotations

import base64
import json
import zlib
from urllib.parse import quote

from tests.clients.hostile.deed import ELSEWHERE, deed, mark

_XHTML = "http://www.w3.org/1999/xhtml"
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"


def hostile_files(hub: str, user: str) -> dict[str, bytes]:
    """Their names and bytes, for the home of `user` at the hub's address `hub`."""

    def run(case: str) -> str:
        return deed(case, hub, user)

    def tilted(case: str) -> str:
        return run(case).replace("'", "`")

    def tag(case: str) -> str:
        return f"<script>{run(case)}</script>"

    def svg(inner: str, attributes: str = "") -> str:
        return f'<svg xmlns="{_SVG}" xmlns:xlink="{_XLINK}" width="90" height="90" {attributes}>{inner}</svg>'

    def encoded(kind: str, text: str) -> str:
        return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"

    used = encoded("image/svg+xml", svg(tag("use-data"), 'id="x"'))
    framed = tag("foreign-srcdoc").replace("<", "&lt;")
    texts: dict[str, str] = {
        # Pages
        "plain.html": f"<!doctype html><title>x</title>{tag('plain.html')}",
        "handlers.htm": f'<body onload="{run("onload")}"><details open ontoggle="{run("ontoggle")}"></details>'
        f'<input autofocus onfocus="{run("onfocus")}">',
        "broken.html": f'<img src=x onerror="{run("onerror")}"><video><source onerror="{run("onerror-video")}"></video>',
        "frames.html": f'<iframe srcdoc="<script>{run("srcdoc")}</script>"></iframe>'
        f'<iframe src="javascript:{quote(run("frame-javascript"))}"></iframe>'
        f'<iframe src="{encoded("text/html", tag("frame-data"))}"></iframe><iframe src="/hub/admin/people"></iframe>'
        f'<object data="{encoded("text/html", tag("object-data"))}"></object><embed src="/hub/admin/people">',
        "forms.html": '<form id=f method=post action="/hub/admin/people?evil=forms"><input name=name value=evil></form>'
        '<form method=post action="/hub/logout?evil"><button autofocus id=b>x</button></form>'
        "<script>b.click(); f.submit()</script>",
        "images.html": '<img src="/hub/logout"><img src="/hub/home/sign-out-everywhere"><link rel=stylesheet href="/hub/'
        'admin/people"><script src="/hub/api/users"></script><link rel=prerender href="/hub/admin/people">'
        '<script type=speculationrules>{"prerender":[{"urls":["/hub/admin/people"]}]}</script>'
        '<video src="/hub/logout" autoplay></video>',
        "base.html": f'<base href="{ELSEWHERE}/" target="_top"><a id=a href="x">x</a><script>a.click()</script>',
        "refresh.html": f'<meta http-equiv=refresh content="0;url=javascript:{quote(run("refresh"))}">'
        f'<meta http-equiv=refresh content="0;url={encoded("text/html", tag("refresh-data"))}">',
        "policy.html": '<meta http-equiv="Content-Security-Policy" content="sandbox allow-scripts allow-same-origin'
        f' allow-forms allow-modals allow-popups allow-top-navigation">{tag("policy")}',
        "cookie.html": '<meta http-equiv="Set-Cookie" content="_xsrf=evil; path=/">'
        "<script>try { document.cookie = '_xsrf=evil; path=/user' } catch (e) {}</script>",
        "nested.html": f"<iframe name=n></iframe><script>n.document.write('<scr' + 'ipt>{tilted('nested')}"
        "</scr' + 'ipt>')</script>",
        "blob.html": "<script>const made = URL.createObjectURL(new Blob(['<script>' + decodeURIComponent('"
        f"{quote(run('blob'), safe='')}') + '</scr' + 'ipt>'], {{type: 'text/html'}})); location = made</script>",
        "manifest.html": f'<link rel=manifest href="app.webmanifest"><link rel=import href="plain.html">{tag("manifest")}',
        "module.html": '<script type=module src="module.mjs"></script><script src="shown.js.txt"></script>'
        "<script type=module>import('./module.mjs')</script>",
        "worker.html": "<script>try { new Worker('worker.js') } catch (e) {} try { new SharedWorker('worker.js') } catch"
        " (e) {} try { navigator.serviceWorker.register('worker.js').catch(() => 0) } catch (e) {}</script>",
        "page.xhtml": f'<html xmlns="{_XHTML}"><head><script>{run("xhtml")}</script></head><body/></html>',
        "entities.xhtml": f"<!DOCTYPE html [<!ENTITY e \"&#60;script xmlns='{_XHTML}'>{tilted('entity')}"
        f'&#60;/script>">]><html xmlns="{_XHTML}"><body>&e;</body></html>',
        # Pictures and XML
        "plain.svg": svg(f"<script>{run('svg')}</script>", f'onload="{run("svg-onload")}"'),
        "foreign.svg": svg(
            f'<foreignObject width="90" height="90"><body xmlns="{_XHTML}"><script>{run("foreign")}</script>'
            f'<iframe srcdoc="{framed}"></iframe></body></foreignObject>'
        ),
        "use.svg": svg(
            f'<use href="{used}#x"/>'
            f'<use xlink:href="plain.svg#x"/><a href="javascript:{quote(run("svg-link"))}"><rect width="90" height="90"/></a>'
        ),
        "animate.svg": svg(
            f'<a><set attributeName="href" to="javascript:{quote(run("svg-set"))}" begin="0s"/>'
            f'<rect width="90" height="90"/></a><animate onbegin="{run("svg-begin")}" attributeName="x" dur="1s"/>'
        ),
        "styled.xml": '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="style.xsl"?><x/>',
        "style.xsl": '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
        f"<html><body><script>{run('xsl')}</script></body></html></xsl:template></xsl:stylesheet>",
        "script.xml": f'<x xmlns:h="{_XHTML}"><h:script>{run("xml")}</h:script></x>',
        "external.xml": '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "/hub/api/users">]><x>&e;</x>',
        "feed.rss": f'<rss version="2.0"><channel xmlns:h="{_XHTML}"><h:script>{run("rss")}</h:script></channel></rss>',
        # Documents
        "page.mhtml": "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n--x\r\nContent-Type: "
        f"text/html\r\nContent-Location: {hub}/hub/home\r\n\r\n{tag('mhtml')}\r\n--x--\r\n",
        "read.md": f'# x\n\n{tag("md")}<img src=x onerror="{run("md-onerror")}">\n\n[a](javascript:{quote(run("md-link"))}) '
        f'[b]({encoded("text/html", tag("md-data"))})\n\n```mermaid\ngraph TD;A-->B;click A href "javascript:'
        f'{quote(run("md-mermaid"))}"\n```\n\n$\\href{{javascript:{mark("md-latex")}}}{{x}}$\n',
        "paper.tex": f"\\documentclass{{article}}\\begin{{document}}\\href{{javascript:{mark('tex')}}}{{x}}{tag('tex')}\n",
        "table.csv": f'=HYPERLINK("javascript:1"),{tag("csv")}\n<img src=x onerror="{run("csv-onerror")}">,@x\n',
        "data.json": json.dumps(
            {"__proto__": {"x": 1}, "</script>": tag("json"), "html": f"<img onerror='{mark('json')}'>"}
        ),
        "chart.vl.json": json.dumps(
            {
                "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
                "data": {"values": [{"u": f"javascript:{mark('vl-file')}"}]},
                "mark": "point",
                "encoding": {"href": {"field": "u"}, "x": {"value": 9}, "y": {"value": 9}},
            }
        ),
        "shown.js.txt": run("js-as-text"),
        "module.mjs": run("module"),
        "worker.js": "self.addEventListener('fetch', () => {}); self.importScripts",
        "app.webmanifest": json.dumps({"name": "x", "start_url": "/hub/admin", "scope": "/", "display": "standalone"}),
        "import.css": f'@import "/hub/admin/people"; @import "{ELSEWHERE}/evil.css"; body {{ background: url(/hub/logout) }}',
        # Names
        f"'\"><img src=x onerror={mark('name-quotes')}>.txt": "x",
        f"<svg onload={mark('name-markup')}>.html": tag("name-markup"),
        "javascript:alert(1)%0d%0aSet-Cookie: evil=1; {{7*7}} ${7*7}.svg": svg(f"<script>{run('name-svg')}</script>"),
    }
    pdf_script = f"app.alert(1); this.submitForm('{hub}/hub/logout'); app.launchURL('javascript:{mark('pdf')}')"
    pdf_script = pdf_script.replace("(", r"\(").replace(")", r"\)")
    made: dict[str, bytes] = {name: text.encode() for name, text in texts.items()}
    made["script.pdf"] = (
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS("
        f"{pdf_script})>>>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]"
        "/Count 1>>endobj 3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    ).encode()
    # A picture that is a page as well; a page without a type; bytes of a program.
    made["polyglot.gif"] = b"GIF89a/*\x01\x00*/=1;" + tag("gif").encode()
    made["polyglot.png"] = _png_with(tag("png").encode())
    made["untyped"] = f"<!doctype html>{tag('untyped')}".encode()
    made["utf7.txt"] = b"\xef\xbb\xbf<html>" + tag("utf8-text").encode() + b"+ADw-script+AD4-"
    made["code.wasm"] = b"\x00asm\x01\x00\x00\x00" + tag("wasm").encode()
    return made


def _png_with(data: bytes) -> bytes:
    """A picture of one pixel whose comment is `data`."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = chunk(b"IHDR", bytes.fromhex("00000001000000010802000000"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"tEXt", b"c\0" + data)
        + chunk(b"IDAT", zlib.compress(b"\0\0\0\0"))
        + chunk(b"IEND", b"")
    )
