"""What a failover happens to: a name, a PostgreSQL that moves from address to address, and who writes to it."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import psycopg2

OLD = "127.0.0.2"
NEW = "127.0.0.3"
PORT = 5432
NAME = "orders.test"
NAME_SERVER = ("127.0.0.1", 53)
TTL_SECONDS = 5
WRITES_APART_SECONDS = 0.1
# What is not answered by then is asked again.
ATTEMPT_SECONDS = 1
POLL_SECONDS = 0.02
# How long a server may take to be ready.
START_SECONDS_MAX = 60
# How long a clean stop waits for consumers that do not confirm all they were sent, before it is made to end.
STOP_SECONDS_MAX = 5


class Names:
    """A name server with one name in it."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(NAME_SERVER)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            query = dns.message.from_wire(query)
            reply = dns.message.make_response(query, recursion_available=True)
            reply.flags |= dns.flags.AA
            (question,) = query.question
            if question.name.to_text(omit_final_dot=True).lower() != NAME:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            elif question.rdtype == dns.rdatatype.A:
                reply.answer.append(dns.rrset.from_text(question.name, TTL_SECONDS, "IN", "A", self.address))
            self.socket.sendto(reply.to_wire(), peer)


class Server:
    """A PostgreSQL, by its storage."""

    SETTINGS = {
        "wal_level": "logical",
        "max_wal_senders": 60,
        "max_replication_slots": 60,
        "max_logical_replication_workers": 40,
        "max_worker_processes": 60,
        "unix_socket_directories": "",
    }

    def __init__(self, programs, storage, port=PORT):
        self.programs, self.storage, self.port = programs, storage, port
        self.ip = self.process = None

    @classmethod
    def new(cls, programs, storage, port=PORT):
        server = cls(programs, storage, port)
        server._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", str(storage))
        return server

    def start(self, ip):
        settings = self.SETTINGS | {"listen_addresses": ip, "port": self.port}
        settings = [f"--{name}={value}" for name, value in settings.items()]
        log = open(self.storage.with_suffix(".log"), "ab")
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.storage, *settings],
            stdout=log, stderr=log, cwd="/", **unprivileged(),
        )
        self.ip = ip

    def start_slowly(self, ip):
        """Starts it, and keeps it from getting beyond "the database system is starting up". Returns what lets it go on."""
        self.start(ip)
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            for pid in self._processes():
                if read(f"/proc/{pid}/cmdline").startswith("postgres: startup"):
                    os.kill(pid, signal.SIGSTOP)
                    return lambda: os.kill(pid, signal.SIGCONT)
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL on {ip} is not seen to start: {self.storage.with_suffix('.log')}")

    def wait(self):
        """Until it takes connections; returns when that was."""
        wait_for(self.ip, self.port)
        return time.time()

    def is_starting_up(self):
        try:
            self.query("SELECT 1")
        except psycopg2.OperationalError as error:
            return "starting up" in str(error)
        return False

    def connect(self, database="postgres"):
        return connect(self.ip, self.port, database)

    def query(self, sql, database="postgres"):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def stop(self):
        """As an operator stops it. Returns whether it had to be forced."""
        self.process.send_signal(signal.SIGINT)
        forced = False
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            forced = True
            self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        self.process = None
        return forced

    def kill(self):
        while pids := self._processes():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(POLL_SECONDS)
        if self.process:
            self.process.wait()
        self.process = None

    def moved(self):
        """The same storage, for another server."""
        return Server(self.programs, self.storage, self.port)

    def copied(self, storage):
        """A copy of the storage as it is in this moment, for another server. This one writes nothing more by itself."""
        pids = self._processes()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        subprocess.run(["cp", "-a", "--reflink=auto", self.storage, storage], check=True)
        (storage / "postmaster.pid").unlink()
        quiet = re.compile("postgres: (checkpointer|background writer|walwriter|autovacuum)")
        for pid in pids:
            if not quiet.match(read(f"/proc/{pid}/cmdline")):
                os.kill(pid, signal.SIGCONT)
        return Server(self.programs, storage, self.port)

    def _processes(self):
        """The processes that work in the storage, as those of a server do."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "cwd") == str(self.storage):
                    found.append(int(folder.name))
            except OSError:
                pass
        return found

    def _run(self, program, *arguments):
        ran = subprocess.run(
            [self.programs / program, *arguments], capture_output=True, text=True, cwd="/", **unprivileged(), check=False
        )
        if ran.returncode != 0:
            raise RuntimeError(f"{program}: {ran.stdout}{ran.stderr}")


class Writer:
    """Ten rows a second, numbered, each with the address of the server that it was written to."""

    def __init__(self):
        self.number = 0
        self.server = None
        self._rests = threading.Event()
        self._rests.set()
        threading.Thread(target=self._run, daemon=True).start()

    def write_to(self, server):
        self._rests.clear()
        self.server = server

    def rest(self):
        self.server = None
        self._rests.wait()

    def write_many(self, server, count):
        """One transaction."""
        first, self.number = self.number + 1, self.number + count
        server.query(f"INSERT INTO rows SELECT n, '{server.ip}' FROM generate_series({first}, {self.number}) n")

    def _run(self):
        while True:
            server = self.server
            if not server:
                self._rests.set()
                time.sleep(POLL_SECONDS)
                continue
            connection = server.connect()
            with connection.cursor() as cursor:
                while self.server is server:
                    self.number += 1
                    cursor.execute("INSERT INTO rows VALUES (%s, %s)", [self.number, server.ip])
                    time.sleep(WRITES_APART_SECONDS)
            connection.close()


class BlackHole:
    """An address from and to which packets vanish."""

    def __init__(self, ip):
        self._nft(f"""
            add table ip hole
            add chain ip hole input {{ type filter hook input priority 0; }}
            add rule ip hole input ip daddr {ip} drop
            add rule ip hole input ip saddr {ip} drop
        """)

    def close(self):
        self._nft("delete table ip hole")

    @staticmethod
    def _nft(rules):
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def connect(ip, port, database="postgres"):
    connection = psycopg2.connect(
        host=ip, port=port, user="postgres", dbname=database, connect_timeout=2, tcp_user_timeout=1000 * ATTEMPT_SECONDS
    )
    connection.autocommit = True
    return connection


def wait_for(ip, port):
    """Until a session can be begun there."""
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            connect(ip, port).close()
            return
        except psycopg2.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_SECONDS)


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def unprivileged():
    """PostgreSQL runs as anybody but root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def make_folder(path):
    """A new folder that PostgreSQL may write to."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    shutil.chown(path, "nobody", "nogroup")
    return path
