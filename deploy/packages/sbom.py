"""Prints what is in an executable of this workspace, as CycloneDX JSON: every crate with its version, licence and checksum.

    sbom.py PACKAGE TARGET VERSION

Crates that only help to build it (build scripts, procedural macros) have the scope "excluded". The same sources and
SOURCE_DATE_EPOCH give the same text.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid

# One line of `cargo tree --prefix depth`; "(*)" stands at the end where the dependencies have been listed above.
LINE = re.compile(r"(?P<depth>\d+)\t(?P<name>\S+) v(?P<version>\S+)[^\t]*\t(?P<licence>[^\t]*?)(?P<seen> \(\*\))?")


def tree(package, target, edges):
    """The crates by name and version, each with its licence and dependencies; the package itself is the first."""
    command = ["cargo", "tree", "--locked", "--package", package, "--target", target, "--edges", edges]
    command += ["--prefix", "depth", "--format", "\t{p}\t{l}"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    crates, path = {}, []
    for line in lines:
        match = LINE.fullmatch(line)
        if not match:
            sys.exit(f"sbom.py: cargo tree says what this script cannot read: {line!r}")
        key, depth = (match["name"], match["version"]), int(match["depth"])
        del path[depth:]
        if path:
            crates[path[-1]]["needs"].add(key)
        crates.setdefault(key, {"licence": match["licence"], "needs": set()})
        path.append(key)
    return crates


def reference(key):
    name, version = key
    return f"pkg:cargo/{name}@{version}"


def component(key, licence, checksum, scope):
    name, version = key
    described = {
        "type": "library",
        "bom-ref": reference(key),
        "name": name,
        "version": version,
        "scope": scope,
        "purl": reference(key),
    }
    if licence:
        # Old crates write a slash for "or".
        described["licenses"] = [{"expression": re.sub(r" */ *", " OR ", licence)}]
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


def main(package, target, version):
    linked = tree(package, target, "normal,no-proc-macro")
    built = tree(package, target, "normal,build")
    with open("Cargo.lock", "rb") as lock:
        checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in tomllib.load(lock)["package"]}
    root = next(iter(built))
    components = []
    for key in sorted(set(built) - {root}):
        scope = "required" if key in linked else "excluded"
        components.append(component(key, built[key]["licence"], checksums[key], scope))
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    itself = component(root, built[root]["licence"], None, "required") | {"type": "application", "version": version}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": itself,
            "properties": [{"name": "rds-tether:target", "value": target}],
        },
        "components": components,
        "dependencies": [
            {"ref": reference(key), "dependsOn": sorted(map(reference, built[key]["needs"]))} for key in sorted(built)
        ],
    }
    # A serial number that is this content's own.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True))
    print(json.dumps({"serialNumber": f"urn:uuid:{serial}", **bom}, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
