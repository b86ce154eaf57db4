"""Prints what CHANGELOG.md says of the version of this workspace: the notes of its release.

    notes.py TAG

The tag has to be the version with a v before it, and the changelog to have a heading that begins with it: `## 0.1.0`.
"""

import sys
import tomllib


def section(text, version):
    """What stands below a version's heading, up to the next one; nothing if there is none."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.split()[:2] == ["##", version]:
            break
    taken = []
    for line in lines:
        if line.startswith("## "):
            break
        taken.append(line)
    return "\n".join(taken).strip()


def main(tag):
    with open("Cargo.toml", "rb") as manifest:
        version = tomllib.load(manifest)["workspace"]["package"]["version"]
    if tag != f"v{version}":
        sys.exit(f"notes.py: the tag is {tag}, but Cargo.toml has version {version}: tag v{version}, or change the version first")
    with open("CHANGELOG.md", encoding="utf-8") as changelog:
        notes = section(changelog.read(), version)
    if not notes:
        sys.exit(f"notes.py: CHANGELOG.md says nothing below a heading '## {version}': put it above what this version changes")
    print(notes)


if __name__ == "__main__":
    main(*sys.argv[1:])
