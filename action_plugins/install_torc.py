"""Action plugin torc.remote.install_torc: puts a torc executable on the host, checked and in one step."""

DOCUMENTATION = r"""
---
module: install_torc
short_description: Put a torc executable on the host
description:
  - Uploads to C(~/.local/bin/torc) the built-in worker packed as one file (the host needs Python 3.8), or a native
    binary. The file gets its name only after its checksum was compared and it has told its version on the host.
notes:
  - Takes no options. The variable torc_binary names a native torc binary on the controller; without it the built-in
    worker is installed.
author: The torc-remote developers
"""

RETURN = r"""
executable:
  description: The path on the host.
  type: str
  returned: success
version:
  description: What was installed.
  type: str
  returned: changed
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.torc.remote.plugins.action.run_script import ActionModule as RunScript
from ansible_collections.torc.remote.plugins.action.run_script import LinkError

from torc_remote import __version__
from torc_remote.archives import checksum
from torc_remote.builtin.worker.zipapp_builder import build_zipapp
from torc_remote.errors import TorcError
from torc_remote.executables import require_program

Result = dict[str, Any]


class ActionModule(RunScript):
    """Prepare, upload, finish."""

    _VALID_ARGS = frozenset()

    def _act(self, args: Mapping[str, Any]) -> Result:
        named = self._value("torc_binary")
        if named:
            binary = Path(str(named)).expanduser()
            require_program(binary)
            return self._install(binary, str(binary), needs_python=False)
        with tempfile.TemporaryDirectory() as directory:
            packed = Path(directory) / "torc"
            build_zipapp(packed)
            return self._install(packed, f"torc {__version__}", needs_python=True)

    def _install(self, file: Path, title: str, needs_python: bool) -> Result:
        sha256 = checksum(file)
        prepared = self._run_script("prepare_install.sh", [sha256, needs_python, self._task.check_mode])
        if prepared["failed"] or prepared["state"] != "ready":
            return prepared
        difference = {"diff": _difference(prepared, title, sha256)} if self._task.diff else {}
        if self._task.check_mode:
            return prepared | {"changed": True} | difference
        upload = str(prepared["upload"])
        with self._lent() as lent:
            self._put(file, lent or upload)
            return self._run_script("finish_install.sh", [upload, sha256, lent], changes=True) | difference

    def _put(self, file: Path, destination: str) -> None:
        try:
            with self._link():
                self._connection.put_file(str(file), destination)
        except LinkError:
            raise
        except AnsibleError as error:
            raise TorcError(f"The upload failed: {str(error).strip().splitlines()[-1]}") from error

    @contextmanager
    def _lent(self) -> Iterator[str]:
        """Where to upload with become: sftp is the one's who logs in, who can't write to another user's home."""
        if not self._connection.become:
            yield ""
            return
        lent = self._as_login_user("lend_upload.sh")
        if lent["failed"]:
            raise TorcError(str(lent["msg"]))
        try:
            yield str(lent["lent"])
        finally:
            with suppress(LinkError):
                self._as_login_user("lend_upload.sh", lent["lent"])

    def _as_login_user(self, script: str, *arguments: str) -> Result:
        become = self._connection.become
        self._connection.set_become_plugin(None)
        try:
            return self._run_script(script, arguments)
        finally:
            self._connection.set_become_plugin(become)


def _difference(prepared: Mapping[str, Any], title: str, sha256: str) -> dict[str, str]:
    """For --diff: which file takes the place of which."""
    before = [prepared.get("replaced_version"), prepared.get("replaced_sha256")]
    return {
        "before_header": "torc on the host",
        "before": "".join(f"{line}\n" for line in before if line),
        "after_header": "torc to be installed",
        "after": f"{title}\n{sha256}\n",
    }
