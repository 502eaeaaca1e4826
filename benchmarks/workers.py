"""The torc that the benchmark's hosts have, which both clients find and start."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torc_remote import __version__
from torc_remote.builtin.worker.zipapp_builder import build_zipapp
from torc_remote.sandbox import Sandbox

# Does nothing but what a worker's first line says, as the hosts share the processors of their controller, where a
# hundred real workers would be the larger part of what is measured.
_IDLE = f"""\
#!/bin/sh
case " $* " in
*" --version "*) echo "torc {__version__}" ;;
*)
  echo "Starting torc job runner"
  trap 'kill $!; exit 143' TERM
  sleep 100000 &
  wait
  ;;
esac
"""


def install(sandbox: Sandbox, kind: str, directory: Path, native: Path | None) -> None:
    """Put the torc of this kind (a key of KINDS, or ``native``) on all hosts."""
    program = native if kind == "native" and native else directory / "torc"
    if kind != "native":
        KINDS[kind](program)
    for host in sandbox.hosts:
        place = host.home / ".local/bin"
        place.mkdir(parents=True)
        (place / "torc").symlink_to(program)
        # the native client looks on the PATH of a non-interactive shell alone
        (host.home / ".bashrc").write_text("PATH=$HOME/.local/bin:$PATH\n")


def _write_idle(path: Path) -> None:
    path.write_text(_IDLE)
    path.chmod(0o755)


KINDS: Mapping[str, Callable[[Path], object]] = {"idle": _write_idle, "ours": build_zipapp}
