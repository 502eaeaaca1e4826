"""Pack the worker into one executable file that a host with Python 3.8 or newer runs as ``torc``."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]  # torc_remote/
OUTSIDE = ("__init__.py", "builtin/__init__.py", "values.py", "worker_options.py")
"""What the worker needs of the rest of torc_remote."""
# The interpreter must not follow the account's Python settings, some of which stop it before it reads our code. The
# names of the variables come from `env`, where a line of another's value can look like one:
# it is taken only if it is set.
_HEADER = b"""\
#!/bin/sh
for name in $(env | sed -n 's/^\\(PYTHON[A-Z0-9_]*\\)=.*/\\1/p'); do
  eval "[ -z \\"\\${$name+set}\\" ] || export _TORC_KEPT_$name=\\"\\$$name\\""
  unset "$name"
done
export PYTHONNOUSERSITE=1 PYTHONUTF8=1
exec python3 "$0" "$@"
"""
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)

# Older Pythons must be able to read this file, for it tells them apart.
_MAIN = """\
import sys

if sys.version_info < (3, 8):
    sys.stderr.write(
        "Error: torc needs Python 3.8 or newer on this host; %s is Python %s\\n"
        % (sys.executable, sys.version.split()[0])
    )
    sys.exit(1)

# Jobs get the account's own settings.
import os

for name in [name for name in os.environ if name.startswith("PYTHON")]:
    del os.environ[name]
for name in [name for name in os.environ if name.startswith("_TORC_KEPT_")]:
    os.environ[name[len("_TORC_KEPT_") :]] = os.environ.pop(name)

from torc_remote.builtin.worker.main import main

sys.exit(main())
"""


def build_zipapp(path: Path) -> str:
    """Write the zipapp to ``path`` (mode 0755, replaced at once) and return its sha256 in hex.

    The bytes depend on the worker's sources alone: files are sorted, dated 1980 and not compressed.
    """
    content = _HEADER + _archive()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    return hashlib.sha256(content).hexdigest()


def _archive() -> bytes:
    own = [file for file in Path(__file__).parent.resolve().glob("*.py") if file.name != Path(__file__).name]
    sources = [*(_PACKAGE / name for name in OUTSIDE), *own]
    members = {str(file.relative_to(_PACKAGE.parent)): file.read_bytes() for file in sources}
    members["__main__.py"] = _MAIN.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _OLDEST_DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, members[name])
    return buffer.getvalue()
