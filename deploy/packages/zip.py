"""Packs an executable as Lambda takes it: a zip with `bootstrap` alone. The same executable gives the same zip.

    zip.py EXECUTABLE ZIP
"""

import sys
import zipfile

# The first moment that a zip can tell: when the executable was built is no matter.
ENTRY = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
# A plain file that everybody may read and execute, as Unix writes it.
ENTRY.create_system = 3
ENTRY.external_attr = 0o100755 << 16
ENTRY.compress_type = zipfile.ZIP_DEFLATED


def main(executable, path):
    with open(executable, "rb") as file, zipfile.ZipFile(path, "w") as archive:
        archive.writestr(ENTRY, file.read(), compresslevel=9)


if __name__ == "__main__":
    main(*sys.argv[1:])
