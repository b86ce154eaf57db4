"""The consumers: each prints the number of every row that it receives, and is started again when it ends."""

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# As a supervisor does it.
RESTART_SECONDS = 1
# The number, and perhaps the server; or what test_decoding makes of it, which pg_recvlogical prints.
ROW = re.compile(r"(?:table public\.rows: INSERT: n\[bigint\]:)?(\d+)( server\[text\]:.*| [\d.]+)?\s*$")


class Kind:
    """A consumer, by its command line: SLOT and FOLDER are replaced."""

    def __init__(self, name, command, plugin="pgoutput"):
        self.name, self.command, self.plugin = name, command, plugin


SUBSCRIPTION = Kind("subscription", None)


def kinds(postgres):
    python = sys.executable
    debezium = [python, str(HERE / "debezium.py"), "SLOT", "FOLDER/SLOT.offsets"]
    recvlogical = [str(postgres / "pg_recvlogical"), "--dbname", "postgres", "--start", "--slot", "SLOT", "--file", "-"]
    return [
        Kind("debezium", debezium),
        # What docs/consumers.md advises.
        Kind("debezium-1s", [*debezium, "retriable.restart.connector.wait.ms=1000"]),
        Kind("node", ["node", str(HERE / "subscriber.js"), "SLOT"]),
        Kind("psycopg2", [python, str(HERE.parent.parent / "tests/postgres/clients.py"), "once", "SLOT"]),
        Kind("recvlogical", recvlogical, plugin="test_decoding"),
        SUBSCRIPTION,
    ]


class Received:
    """What has come, and when."""

    def __init__(self):
        self.rows = []
        self.restarts = 0
        self.awaited = None
        self.arrived_at = None

    def wait_for(self, number):
        """From now on, it is noted when the first row from this number on comes."""
        self.awaited = number

    def note(self, number, at):
        if self.awaited is not None and self.arrived_at is None and number >= self.awaited:
            self.arrived_at = at


class Consumer(Received):
    """A process that is watched."""

    def __init__(self, kind, slot, port, folder, modules):
        super().__init__()
        self.over = False
        self.folder = folder
        words = {"SLOT": slot, "FOLDER": str(folder)}
        self.command = [re.sub("SLOT|FOLDER", lambda found: words[found[0]], word) for word in kind.command]
        self.environment = os.environ | {
            "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "postgres",
            "NODE_PATH": str(modules), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.log = open(folder / f"{slot}.log", "ab", buffering=0)
        self.process = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
            )
            for line in self.process.stdout:
                if found := ROW.match(line.decode(errors="replace")):
                    number, at = int(found[1]), time.time()
                    self.rows.append(number)
                    self.note(number, at)
            code = self.process.wait()
            if self.over:
                break
            self.restarts += 1
            self.log.write(f"-- ended with {code}\n".encode())
            time.sleep(RESTART_SECONDS)

    def close(self):
        self.over = True
        # One may just be starting.
        while self.thread.is_alive():
            if self.process:
                self.process.kill()
            self.thread.join(0.2)


class Subscription(Received):
    """PostgreSQL's own, into a database of its own; the subscriber notes when each row was applied."""

    def __init__(self, subscriber, slot, port):
        super().__init__()
        self.subscriber, self.slot = subscriber, slot
        subscriber.query(f"CREATE DATABASE {slot}")
        subscriber.query("CREATE TABLE rows (n bigint, server text, at timestamptz DEFAULT clock_timestamp())", slot)
        subscriber.query(
            f"CREATE SUBSCRIPTION {slot} CONNECTION 'host=127.0.0.1 port={port} user=postgres dbname=postgres' "
            f"PUBLICATION changes WITH (slot_name = '{slot}', create_slot = false, copy_data = false)",
            slot,
        )
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.wait(0.5):
            self.look()

    def look(self):
        """Only at what is not known yet: it is done often."""
        order = f"ORDER BY at, n OFFSET {len(self.rows)}"
        rows = self.subscriber.query(f"SELECT n, extract(epoch FROM at)::float8 FROM rows {order}", self.slot)
        for number, at in rows:
            self.rows.append(number)
            self.note(number, at)

    def close(self):
        self.over.set()
        self.thread.join()
