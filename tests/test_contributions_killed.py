"""Contributions survive kill -9: a process is killed before each of its steps on files and records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Each step is done by a child of the process below that kills itself before the n-th event. Imports are done before.
_DRIVER = """
import json, os, shutil, signal, sqlite3, sys
from pathlib import Path
import numpy as np
from cellpose import io
from cellpose.contributions import *

folder, n = Path(sys.argv[1]), {}
rng = np.random.default_rng(0)
labels = np.zeros((64, 64), np.int32)
labels[5:20, 5:20], labels[30:50, 30:50] = 1, 2
pairs = [Pair(rng.integers(0, 255, (64, 64)).astype(np.uint8), labels) for _ in range(3)]
asked = {"licence": "CC0-1.0", "consent": CONSENT, "contributor": "Ada", "source": "A"}

def steps(store):
    given = Provenance.of(asked)
    versions = Versions(store)
    def publish():
        version = versions.unfinished() or versions.begin("base", ("a",), 1)
        versions.folder.mkdir(exist_ok=True)
        with io.replacing(versions.path(version)) as file:
            file.write(version.name.encode())
        versions.write_credits(version, [])
        versions.decide(version, PUBLISHED, {})
    yield "add", lambda: store.add(pairs[1], given)
    yield "accept", lambda: store.accept(pairs[1].id)
    yield "reject", lambda: store.reject(pairs[0].id, "no")
    yield "publish", publish
    yield "rollback", lambda: versions.rollback()

def base():
    store = Store(folder / "base", create=True)
    store.add(pairs[0], Provenance.of(asked))
    for name, step in steps(store):
        if name == "publish":
            step(), step()
    return store

def kill_before(event):
    count = 0
    def seen(*_):
        nonlocal count
        count += 1
        if count == event:
            os.kill(os.getpid(), signal.SIGKILL)
    watched = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.utime", "sqlite3.connect"}
    connect = sqlite3.connect
    def traced(*args, **keywords):
        db = connect(*args, **keywords)
        db.set_trace_callback(seen)
        return db
    sqlite3.connect = traced
    sys.addaudithook(lambda name, args: name in watched and seen())

def sound(store, state):
    '''Whole files behind every record, and the published model under its name.'''
    found = store.contributions()
    for each in found:
        assert store.read(each).id == each.id, state
    versions = Versions(store)
    published = versions.published()
    current = versions.folder / CURRENT
    assert (current.read_text() if current.exists() else None) == (published and published.name), state
    assert published is None or "base" not in current.read_text()
    return [(e.id, e.state, e.role) for e in found], published and published.name

source = base()
for name in sys.argv[2:] or [name for name, _ in steps(source)]:
    event, ended = 0, False
    outcomes = set()
    while not ended:
        event += 1
        shutil.rmtree(folder / "store", ignore_errors=True)
        shutil.copytree(folder / "base", folder / "store")
        child = os.fork()
        if not child:
            kill_before(event)
            store = Store(folder / "store")
            if name == "accept":
                store.add(pairs[1], Provenance.of(asked))
            dict(steps(store))[name]()
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store = Store(folder / "store")
        outcomes.add(str(sound(store, (name, event))))
        try:  # again, as a client or a person does who got no answer
            if name == "accept":
                try:
                    store.add(pairs[1], Provenance.of(asked))
                except DuplicateError:
                    pass
            dict(steps(store))[name]()
        except DuplicateError:
            pass
        sound(store, (name, event, "again"))
    n[name] = [event - 1, len(outcomes)]
print(json.dumps(n))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither fork nor SIGKILL")
@pytest.mark.parametrize("steps", [["add"], pytest.param([], marks=pytest.mark.slow)], ids=["add", "all"])
def test_a_process_may_be_killed_before_any_step(tmp_path: Path, steps: list[str]) -> None:
    command = [sys.executable, "-c", _DRIVER, str(tmp_path), *steps]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    killed = json.loads(done.stdout)
    # it was killed many times, and what was left behind is the state before, between or after, never anything else
    assert all(kills > 10 for kills, _ in killed.values()), killed
    assert all(2 <= outcomes <= 3 for _, outcomes in killed.values()), killed
