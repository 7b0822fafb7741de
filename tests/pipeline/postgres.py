"""A private PostgreSQL: its own folder, its own free port, ended with the process it started."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

OWNER, PASSWORD = "mofang_owner", "Tell-no-0ne!"
SECONDS = 60  # that starting may take on a busy machine


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its address as SQLAlchemy writes it."""
        return f"postgresql+psycopg://{OWNER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def run(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> list[Any]:
        """Run a statement as its owner, once or for each row, and return what it answers."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.cursor()
            if rows is not None:
                cursor.executemany(statement, rows)
                return []
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def program(name: str) -> str | None:
    """Return where a program of PostgreSQL is; distributions keep some off the path."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (found for place in [None, *map(str, places)] if (found := shutil.which(name, path=place))),
        None,
    )


def unprivileged() -> dict[str, Any]:
    """Return who runs the server: PostgreSQL refuses root, so root starts it as somebody else."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    someone = known.get("postgres") or known["nobody"]
    return {"user": someone.pw_uid, "group": someone.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server() -> Iterator[Postgres]:
    """Start a server for the block; skips the test where PostgreSQL is not installed."""
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("no PostgreSQL on this machine (initdb, postgres)")
    who = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="mofang-postgres-"))
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD)
    if who:
        for path in (folder, secret):
            os.chown(path, who["user"], who["group"])
    try:
        wanted = [initdb, "-D", str(data), "-U", OWNER, "-A", "scram-sha-256", "-N", "-E", "UTF8"]
        done = subprocess.run(
            [*wanted, "--locale=C", f"--pwfile={secret}"], cwd=folder, capture_output=True, **who
        )
        assert done.returncode == 0, done.stderr.decode()
        with (folder / "log").open("wb") as log:
            yield from started(postgres, data, log, who)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def started(postgres: str, data: Path, log: Any, who: dict[str, Any]) -> Iterator[Postgres]:
    """Yield the server once it answers; end it, and only it, afterwards."""
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(data)}
    settings |= {"port": str(port), "fsync": "off", "shared_buffers": "16MB"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [postgres, "-D", str(data), *words], cwd=data, stdout=log, stderr=log, **who
    )
    made = Postgres(port, process)
    try:
        wait_for(made, Path(log.name))
        yield made
    finally:
        process.send_signal(signal.SIGINT)  # ends open connections, then the server
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(made: Postgres, log: Path) -> None:
    """Return when the server answers."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            made.run("SELECT 1")
            return
        except psycopg.OperationalError:
            if made.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(log.read_text(errors="replace")) from None
            time.sleep(0.1)
