"""A failover, played once."""

import shutil
import subprocess
import threading
import time

import stage
import watched

FIRST_PORT = 6001
SUBSCRIBER = ("127.0.0.1", 5499)
HAPROXY = "haproxy"
# Until the first rows have come: several Debeziums begin on two processors.
WARM_SECONDS_MAX = 180
# From the first row of all until the fault: who has just begun is not yet as it will be.
PEACE_SECONDS = 5
# What was sent last arrives meanwhile.
SETTLE_SECONDS = 5
ROWS_BEFORE_FAULT = 200
LOOK_SECONDS = 0.1
# The longest time between two tries of a consumer. Who is lucky is the one whose next try comes just then: so the moment comes later
# from round to round, up to that.
RHYTHM_SECONDS = 10


def clean_stop(play):
    play.forced = play.old.stop()
    play.begin(play.old.moved())
    play.dns_at(15 + play.later)


def killed(play):
    play.old.kill()
    play.dns_at(5)
    play.sleep_until(15)
    new = play.old.moved()
    go_on = new.start_slowly(stage.NEW)
    if not play.until(new.is_starting_up, 5):
        raise RuntimeError("the new server is not starting up")
    play.sleep_until(23 + play.later)
    go_on()
    play.begin(new)


def black_hole(play):
    play.hole = stage.BlackHole(stage.OLD)
    play.old.kill()
    play.begin(play.old.moved())
    play.dns_at(15)


def lives_on(play):
    play.begin(play.old.copied(play.folder / "copy"))
    play.dns_at(15)


def slots_lost(play):
    play.old.kill()
    new = play.old.moved()
    new.start(stage.NEW)
    new.wait()
    new.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    play.begin(new)
    play.dns_at(5)
    play.sleep_until(15)
    play.make_slots(new)
    play.usable_at = time.time()


SITUATIONS = {"a": clean_stop, "a2": killed, "b": black_hole, "c2": lives_on, "d": slots_lost}


class Proxy:
    """A proxy on a port."""

    def __init__(self, name, command, port):
        self.name, self.command, self.port = name, command, port
        self.slot_name = "".join(letter if letter.isalnum() else "_" for letter in name.lower())

    def start(self, folder):
        command = [word.replace("PORT", str(self.port)) for word in self.command]
        if self.name == HAPROXY:
            settings = folder / "haproxy.cfg"
            settings.write_text(haproxy_settings(self.port))
            command = [*command, "-f", str(settings)]
        log = open(folder / f"{self.name}.log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()


def haproxy_settings(port):
    """As its documentation has it, with Debian's time-outs."""
    server = f"{stage.NAME}:{stage.PORT}"
    return f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 50s
    timeout server 50s
resolvers vpc
    nameserver vpc {stage.NAME_SERVER[0]}:{stage.NAME_SERVER[1]}
listen database
    bind 127.0.0.1:{port}
    server database {server} check resolvers vpc init-addr none
"""


def slot_of(proxy, kind):
    return f"{kind.name.replace('-', '_')}_{proxy.slot_name}"


class Play:
    """One situation, once."""

    def __init__(self, asked, names, proxies, folder, later):
        self.asked, self.names, self.proxies, self.folder, self.later = asked, names, proxies, folder, later
        self.consumers = {}
        self.hole = None
        self.forced = False
        self.named = threading.Event()
        self.named_at = None
        self.usable_at = None

    def run(self, situation):
        stage.make_folder(self.folder)
        self.names.address = stage.OLD
        self.old = stage.Server.new(self.asked.postgres, self.folder / "primary")
        self.old.start(stage.OLD)
        self.old.wait()
        self.old.query("CREATE TABLE rows (n bigint PRIMARY KEY, server text); CREATE PUBLICATION changes FOR TABLE rows")
        self.subscriber = stage.Server.new(self.asked.postgres, self.folder / "subscriber", SUBSCRIBER[1])
        self.subscriber.start(SUBSCRIBER[0])
        self.subscriber.wait()
        self.writer = stage.Writer()
        try:
            self._begin_consumers()
            self.writer.write_to(self.old)
            self._warm_up()
            self.writer.rest()
            self.writer.write_many(self.old, ROWS_BEFORE_FAULT)
            restarts = {key: consumer.restarts for key, consumer in self.consumers.items()}
            self.fault_at = time.time()
            SITUATIONS[situation](self)
            self._watch()
            return self._outcome(restarts)
        finally:
            self._end()

    # What happens in a situation.

    def begin(self, new):
        """Starts the new primary, unless it has been, and goes on writing when it is usable."""
        self.new = new
        if not new.process:
            new.start(stage.NEW)
        self.usable_at = new.wait()
        for consumer in self.consumers.values():
            consumer.wait_for(self.writer.number + 1)
        self.writer.write_to(new)

    def dns_at(self, seconds):
        """From then on, counted from the fault, DNS names the new address."""
        def name():
            self.sleep_until(seconds)
            self.names.address = stage.NEW
            self.named_at = time.time()
            self.named.set()
        threading.Thread(target=name, daemon=True).start()

    def sleep_until(self, seconds):
        time.sleep(max(0, self.fault_at + seconds - time.time()))

    def until(self, is_so, seconds):
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    # What is around it.

    def make_slots(self, server):
        for proxy in self.proxies:
            for kind in self.asked.consumers:
                server.query(f"SELECT pg_create_logical_replication_slot('{slot_of(proxy, kind)}', '{kind.plugin}')")

    def _begin_consumers(self):
        self.make_slots(self.old)
        for proxy in self.proxies:
            proxy.start(self.folder)
        for proxy in self.proxies:
            stage.wait_for("127.0.0.1", proxy.port)
            for kind in self.asked.consumers:
                slot = slot_of(proxy, kind)
                if kind is watched.SUBSCRIPTION:
                    consumer = watched.Subscription(self.subscriber, slot, proxy.port)
                else:
                    consumer = watched.Consumer(kind, slot, proxy.port, self.folder, self.asked.modules)
                self.consumers[proxy.name, kind.name] = consumer

    def _warm_up(self):
        if not self.until(lambda: all(consumer.rows for consumer in self.consumers.values()), WARM_SECONDS_MAX):
            late = [f"{kind} behind {proxy}" for (proxy, kind), consumer in self.consumers.items() if not consumer.rows]
            raise RuntimeError(f"nothing has come to {', '.join(late)}; see {self.folder}")
        time.sleep(PEACE_SECONDS)

    def _watch(self):
        self.named.wait()
        begun = max(self.named_at, self.usable_at)
        consumers = self.consumers.values()
        self.until(lambda: all(consumer.arrived_at for consumer in consumers), begun + self.asked.watched - time.time())
        self.writer.rest()
        time.sleep(SETTLE_SECONDS)

    def _outcome(self, restarts):
        begun = max(self.named_at, self.usable_at)
        written = {number for number, in self.new.query("SELECT n FROM rows")}
        outcome = {}
        for key, consumer in self.consumers.items():
            at, numbers = consumer.arrived_at, set(consumer.rows)
            begins = min(numbers)
            outcome[key] = {
                "seconds": None if at is None else round(at - begun, 1),
                "restarts": consumer.restarts - restarts[key],
                "twice": len(consumer.rows) - len(numbers),
                # Of those who are back: the others are late, which is said already.
                "missing": None if at is None else len({n for n in written if n >= begins} - numbers),
            }
        return outcome

    def _end(self):
        self.writer.rest()
        for consumer in self.consumers.values():
            consumer.close()
        for proxy in self.proxies:
            if getattr(proxy, "process", None):
                proxy.stop()
        for server in (self.old, getattr(self, "new", None), self.subscriber):
            if server:
                server.kill()
        if self.hole:
            self.hole.close()
        shutil.rmtree(self.folder / "copy", ignore_errors=True)


def proxies_of(asked):
    endpoint = f"{stage.NAME}:{stage.PORT}"
    name_server = f"{stage.NAME_SERVER[0]}:{stage.NAME_SERVER[1]}"
    commands = []
    for name, (program, *more) in asked.binaries:
        said = ["proxy", "--listen", "127.0.0.1:PORT", "--endpoint", endpoint, "--nameserver", name_server]
        commands.append((name, [program, *said, *more]))
    if asked.haproxy:
        commands.append((HAPROXY, ["haproxy", "-db"]))
    return [Proxy(name, command, FIRST_PORT + number) for number, (name, command) in enumerate(commands)]
