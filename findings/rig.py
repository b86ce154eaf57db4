"""What the findings about DNS caches share: a Debian package in a folder of its own, a name server whose answers a script sets, and
one question to a cache. All of it stays on loopback and in a temporary folder."""

import atexit
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

# Looks like a name of a managed database, whose alias is changed in a failover; below a domain that no cache treats in its own way.
DOMAIN = "eu-west-1.rds.amazonaws.com"
NAME = f"orders.cluster-abc123.{DOMAIN}"
READY = f"ready.{DOMAIN}"
A, CNAME, SOA, OPT = 1, 5, 6, 41
EXTENDED_DNS_ERROR = 15
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}

folder = tempfile.mkdtemp()
processes = []


@atexit.register
def clean_up():
    for process in processes:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def unpack(package, version):
    """Fetches a package of Debian, and what it needs that this machine lacks, and unpacks them; nothing is installed."""
    archives, root = f"{folder}/archives", f"{folder}/root"
    os.makedirs(f"{archives}/partial")
    os.makedirs(f"{root}/usr/lib")
    apt = ["apt-get", "install", "-y", "-q", "--reinstall", "--download-only", "--no-install-recommends"]
    apt += ["-o", f"Dir::Cache::archives={archives}", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
    fetched = subprocess.run(apt + [f"{package}={version}"], capture_output=True, text=True)
    if fetched.returncode != 0:
        sys.exit(f"{package} {version} is not to be had (apt-get update?):\n{fetched.stderr}")
    for name in os.listdir(archives):
        if name.endswith(".deb"):
            subprocess.run(["dpkg", "-x", f"{archives}/{name}", root], check=True)
    # Since Debian 12, /lib is /usr/lib.
    if os.path.isdir(f"{root}/lib"):
        shutil.copytree(f"{root}/lib", f"{root}/usr/lib", symlinks=True, dirs_exist_ok=True)
    print(f"{package} {version}")


def write(settings):
    """Writes a file of settings, and gives its path."""
    path = f"{folder}/settings.{len(processes)}"
    with open(path, "w") as file:
        file.write(settings)
    return path


def run(command):
    """Starts a program of the unpacked packages, over this machine's /usr and for it alone; gives the path of what it says."""
    apart = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    overlay = f'mount -t overlay overlay -o "lowerdir={folder}/root/usr:/usr" /usr && exec "$@"'
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    log = open(f"{folder}/log.{len(processes)}", "w")
    process = subprocess.Popen(
        apart + ["sh", "-c", overlay, "sh"] + command,
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment,
    )
    processes.append(process)
    return log.name


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(port, log):
    for _ in range(150):
        told = ask(port, READY, 0.2)
        if told and told["addresses"]:
            return
        time.sleep(0.1)
    with open(log) as file:
        sys.exit(f"it does not answer:\n{file.read()}")


def to_wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def from_wire(message, at):
    labels, after = [], None
    while message[at]:
        if message[at] & 0xC0 == 0xC0:
            after = after or at + 2
            at = (message[at] & 0x3F) << 8 | message[at + 1]
        else:
            labels.append(message[at + 1 : at + 1 + message[at]].decode().lower())
            at += 1 + message[at]
    return ".".join(labels), after or at + 1


class NameServer:
    """Answers each name with ("A", address, TTL), ("CNAME", name, TTL) or ("NXDOMAIN", TTL of the SOA, its minimum), over UDP;
    follows aliases, as a resolver does. `silent` says nothing, `delay` seconds make it slow."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.names = {READY: ("A", "10.0.0.1", 5)}
        self.silent, self.delay = False, 0
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            threading.Thread(target=self.reply, args=(query, client), daemon=True).start()

    def reply(self, query, client):
        name, at = from_wire(query, 12)
        (kind,) = struct.unpack(">H", query[at : at + 2])
        if kind == A:
            self.asked.append(name)
        if self.silent:
            return
        time.sleep(self.delay)
        records, authority, code = [], b"", 0
        while True:
            what, *rest = self.names.get(name, ("NXDOMAIN", 5, 5))
            if what == "CNAME":
                records.append((name, CNAME, rest[1], to_wire(rest[0])))
                name = rest[0]
                continue
            if what == "A" and kind == A:
                records.append((name, A, rest[1], socket.inet_aton(rest[0])))
                break
            ttl, minimum = rest if what == "NXDOMAIN" else (5, 5)
            code = 3 if what == "NXDOMAIN" else 0
            soa = to_wire(DOMAIN) * 2 + struct.pack(">5I", 1, 7200, 900, 1209600, minimum)
            authority = to_wire(DOMAIN) + struct.pack(">HHIH", SOA, 1, ttl, len(soa)) + soa
            break
        answers = b"".join(to_wire(n) + struct.pack(">HHIH", k, 1, t, len(d)) + d for n, k, t, d in records)
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 1 if authority else 0, 0)
        self.socket.sendto(head + query[12 : at + 4] + answers + authority, client)


def ask(port, name, timeout=2.0, tcp=False):
    """Asks for an IPv4 address with EDNS; None if no reply comes in time."""
    question = to_wire(name) + struct.pack(">HH", A, 1)
    edns = b"\0" + struct.pack(">HHIH", OPT, 1232, 0, 0)
    query = struct.pack(">6H", 0x1D1D, 0x0100, 1, 0, 0, 1) + question + edns
    started = time.monotonic()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect(("127.0.0.1", port))
            client.sendall(struct.pack(">H", len(query)) + query if tcp else query)
            reply = client.recv(4096)
            if tcp:
                reply = (reply if len(reply) > 2 else reply + client.recv(4096))[2:]
    except OSError:
        return None
    counts = struct.unpack(">4H", reply[4:12])
    told = {"code": CODES.get(reply[3] & 15), "addresses": [], "ttls": {}, "soa": None, "errors": []}
    at = from_wire(reply, 12)[1] + 4
    for _ in range(sum(counts[1:])):
        _, at = from_wire(reply, at)
        kind, _, ttl, length = struct.unpack(">HHIH", reply[at : at + 10])
        content = reply[at + 10 : at + 10 + length]
        at += 10 + length
        if kind == A:
            told["addresses"].append(socket.inet_ntoa(content))
            told["ttls"]["A"] = ttl
        elif kind == CNAME:
            told["ttls"]["CNAME"] = ttl
        elif kind == SOA:
            told["soa"] = ttl
        elif kind == OPT:
            while content:
                option, size = struct.unpack(">HH", content[:4])
                if option == EXTENDED_DNS_ERROR:
                    told["errors"] += struct.unpack(">H", content[4:6])
                content = content[4 + size :]
    told["seconds"] = round(time.monotonic() - started, 1)
    return told


def show(since, told):
    """Prints a reply, and when it came."""
    at = f"{time.monotonic() - since:6.1f} s  "
    if told is None:
        print(at + "no reply", flush=True)
        return
    ttls = " ".join(f"{kind} TTL {ttl}" for kind, ttl in told["ttls"].items())
    soa = "" if told["soa"] is None else f"SOA TTL {told['soa']}"
    errors = "".join(f" EDE {code}" for code in told["errors"])
    print(f"{at}{told['code']} {' '.join(told['addresses'])} {ttls}{soa}{errors} after {told['seconds']} s", flush=True)


def wait_for(since, second):
    time.sleep(max(0, since + second - time.monotonic()))


def conclude(holds, finding):
    print(("as found: " if holds else "NO LONGER SO: ") + finding)
    sys.exit(0 if holds else 1)
