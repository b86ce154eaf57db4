"""What the command line asks for."""

import argparse
import os
import pathlib
import shlex

import watched

ABOUT = """What consumers of logical replication make of a failover behind rds-tether, builds of it beside each other, and HAProxy.

All of them read the same PostgreSQL at once, each through every proxy by a slot of its own, while the name's address moves
from 127.0.0.2 to 127.0.0.3 with the storage, so that the slots survive. Counted are the seconds from the moment when the new
primary is usable by its name (DNS names it, and it takes connections) until the first row that was written to it arrives; how
often a process ended and was started anew, one second later; rows that came twice, and rows that never came. Consumers try again
in a rhythm of their own, so "to" below is another moment in each round.

It plays in a network namespace of its own, which benches/consumers/run makes.
"""
SITUATIONS = {
    "a": "clean stop; DNS 15 to 25 s later",
    "a2": 'killed; DNS 5 s later; nothing listens until 15 s, "starting up" until 23 to 33 s',
    "b": "black hole; DNS 15 s later",
    "c2": "sessions to the old server live on, nothing new comes; DNS 15 s later",
    "d": "killed; the new server has no slots; DNS 5 s later; slots of the same names are made by hand at 15 s",
}
# The others keep their slots.
USUAL = ["a", "a2", "b", "c2"]
# What has not come by then is taken never to come.
WATCHED_SECONDS = 75


def newest_postgres():
    def version(folder):
        return int(folder.parent.name) if folder.parent.name.isdigit() else 0
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=version)
    return folders[-1] if folders else pathlib.Path("/usr/bin")


def read():
    parser = argparse.ArgumentParser(
        prog="benches/consumers/run", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Situations:\n" + "\n".join(f"  {name:3} {text}" for name, text in SITUATIONS.items()),
    )
    parser.add_argument(
        "--binary", action="append", metavar="NAME=PROGRAM", required=True,
        help="an rds-tether, with flags of its verb proxy behind it if there are some; more than once for several",
    )
    parser.add_argument("--no-haproxy", dest="haproxy", action="store_false", help="leave HAProxy out")
    parser.add_argument("--situations", metavar="NAME,...", default=",".join(USUAL), help="some of them [all but d]")
    parser.add_argument(
        "--consumers", metavar="NAME,...", default="debezium,node,psycopg2,recvlogical,subscription",
        help="of debezium debezium-1s node psycopg2 recvlogical subscription [all but debezium-1s]",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is played [3]")
    parser.add_argument(
        "--watched", type=int, default=WATCHED_SECONDS, metavar="SECONDS", help="what has not come by then, never comes [75]"
    )
    parser.add_argument("--postgres", type=pathlib.Path, default=newest_postgres(), metavar="FOLDER", help="its programs")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every outcome there, too")
    asked = parser.parse_args()
    asked.modules = pathlib.Path(os.environ.get("NODE_PATH", "node_modules"))
    asked.situations = asked.situations.split(",")
    for name in asked.situations:
        if name not in SITUATIONS:
            parser.error(f"there is no situation {name!r}")
    known = {kind.name: kind for kind in watched.kinds(asked.postgres)}
    for name in asked.consumers.split(","):
        if name not in known:
            parser.error(f"there is no consumer {name!r}")
    asked.consumers = [known[name] for name in asked.consumers.split(",")]
    if asked.rounds < 1:
        parser.error("--rounds is 1 or more")
    asked.binaries = []
    for binary in asked.binary:
        name, _, command = binary.partition("=")
        words = shlex.split(command)
        if not name or not words or not os.access(words[0], os.X_OK):
            parser.error(f"--binary is NAME=PROGRAM, and a program that can be run: {binary!r}")
        asked.binaries.append((name, words))
    return asked
