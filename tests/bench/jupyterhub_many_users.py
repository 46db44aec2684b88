"""JupyterHub with as many users as `tests.bench.many_users` has, run by an interpreter that has `jupyterhub`.

    cd FOLDER && PYTHONPATH=REPOSITORY PYTHON -m tests.bench.jupyterhub_many_users ROUNDS

Fills a SQLite database in the current folder through JupyterHub's own ORM (50,000 users, 1,000 servers that run, 200
groups), starts its hub with a proxy that does nothing and a spawner whose servers are always there, and prints what
its list API and its admin page took as one line of JSON. Nothing of kernelhub is imported but the client.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.browsing import Browser, Cost, cpu_ms

USERS, RUNNING, GROUPS = 50_000, 1_000, 200
PORT = 18_089
TOKEN = "0123456789abcdef0123456789abcdef"
START_SECONDS = 600.0
SETTLE_SECONDS, CALM_MS = 90.0, 60.0
DATABASE = "sqlite:///jupyterhub.sqlite"
CONFIG = f'''
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner

class NoProxy(Proxy):
    should_start = False
    routes = {{}}

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return dict(self.routes)

class AlwaysThere(Spawner):
    async def start(self):
        return ("127.0.0.1", 9)

    async def stop(self, now=False):
        pass

    async def poll(self):
        return None

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = AlwaysThere
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"root1"}}
c.JupyterHub.db_url = "{DATABASE}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{PORT}/hub/"
c.JupyterHub.bind_url = "http://127.0.0.1:{PORT + 1}/"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.log_level = "WARN"
c.JupyterHub.services = [{{"name": "bench", "api_token": "{TOKEN}"}}]
c.JupyterHub.load_roles = [{{"name": "bench", "services": ["bench"], "scopes": [
    "admin-ui", "admin:users", "admin:groups", "admin:servers", "list:users", "list:groups", "read:hub"]}}]
'''
CALLS = {
    "GET users?limit=50": "/hub/api/users?limit=50",
    "GET users?limit=200, in the middle": "/hub/api/users?limit=200&offset=25000",
    "GET users?name_filter": "/hub/api/users?name_filter=t4999",
    "GET users?state=active": "/hub/api/users?state=active",
    "GET users?state=inactive": "/hub/api/users?state=inactive",
    "GET groups?limit=50": "/hub/api/groups?limit=50",
    "admin page's list": "/hub/api/users?include_stopped_servers=1&offset=0&limit=50&name_filter=&sort=id&state=",
}


ADMIN_PAGE = "admin page, before its list"


def fill() -> None:
    """The rows, through JupyterHub's own ORM."""
    from jupyterhub import orm  # noqa: PLC0415 - another interpreter's package

    chance, now = random.Random(4), datetime.now(UTC).replace(tzinfo=None)
    session = orm.new_session_factory(DATABASE)()
    groups = [orm.Group(name=f"course{number:03d}") for number in range(GROUPS)]
    session.add_all(groups)
    for number in range(USERS):
        active = now - timedelta(minutes=chance.randrange(500_000)) if chance.random() < 0.8 else None
        user = orm.User(name=f"student{number:05d}", last_activity=active)
        session.add(user)
        for group in {groups[number % GROUPS], groups[(number // 7) % GROUPS]}:
            user.groups.append(group)
        if number % (USERS // RUNNING) == 0:
            server = orm.Server(proto="http", ip="127.0.0.1", port=9, base_url=f"/user/{user.name}/")
            user._orm_spawners.append(orm.Spawner(name="", server=server, started=now, last_activity=now, state={}))
        if number % 1000 == 999:
            session.commit()
    session.commit()
    session.close()


def start() -> tuple[subprocess.Popen[bytes], float, float]:
    """JupyterHub's hub, ready; the seconds that this took, on the wall and of the processor."""
    began = time.perf_counter()
    with Path("hub.log").open("wb") as log:
        command = [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    while time.perf_counter() - began < START_SECONDS:
        if process.poll() is not None:
            raise SystemExit(Path("hub.log").read_text()[-3000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/hub/api/health", timeout=2):
                return process, time.perf_counter() - began, cpu_ms(process.pid) / 1000
        except OSError:
            time.sleep(0.02)
    process.kill()
    raise SystemExit("JupyterHub was not ready in time.")


def measure(process: subprocess.Popen[bytes], rounds: int) -> dict[str, Any]:
    """Each call's costs, those of the first one apart."""
    script = Browser(PORT, process.pid, {"Authorization": f"token {TOKEN}"})
    administrator = Browser(PORT, process.pid)
    form = {"_xsrf": administrator.value_of("_xsrf", "/hub/login"), "username": "root1", "password": "any"}
    administrator.post("/hub/login", form)
    found: dict[str, Any] = {}
    for name, path in {**CALLS, ADMIN_PAGE: "/hub/admin"}.items():
        browser = administrator if name == ADMIN_PAGE else script
        try:
            first = browser.cost(path)
            found[name] = {"first": _plain(first), "costs": [_plain(browser.cost(path)) for _ in range(rounds)]}
        except (RuntimeError, OSError) as error:
            browser.close()
            found[name] = {"problem": str(error)[:300]}
    return found


def settle(process: subprocess.Popen[bytes]) -> None:
    """Wait until it is done with what it does after its start, as `tests.bench.many_users` waits for our hub."""
    deadline, before = time.monotonic() + SETTLE_SECONDS, cpu_ms(process.pid)
    while time.monotonic() < deadline:
        time.sleep(2)
        now = cpu_ms(process.pid)
        if now - before < CALM_MS:
            return
        before = now


def _plain(cost: Cost) -> list[float]:
    return [cost.wall, cost.cpu, cost.size]


def resident_mb(process_id: int) -> float:
    """What a process holds."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def main() -> None:
    """The command."""
    import jupyterhub  # noqa: PLC0415 - another interpreter's package

    Path("jupyterhub_config.py").write_text(CONFIG)
    subprocess.run([sys.executable, "-m", "jupyterhub", "upgrade-db"], capture_output=True, check=False)
    if not Path("filled").exists():
        process, *_ = start()  # makes tables and default roles
        _end(process)
        fill()
        Path("filled").touch()
    process, wall, cpu = start()
    try:
        settle(process)
        at_start = resident_mb(process.pid)
        calls = measure(process, int(sys.argv[1]))
        memory = [at_start, resident_mb(process.pid)]
    finally:
        _end(process)
    found = {"version": jupyterhub.__version__, "start": [wall, cpu], "memory": memory, "calls": calls}
    print(json.dumps(found))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
