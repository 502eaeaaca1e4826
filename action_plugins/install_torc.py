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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.torc.remote.plugins.plugin_utils.link import LinkError
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result
from ansible_collections.torc.remote.plugins.plugin_utils.script_task import ScriptTask

from torc_remote import __version__
from torc_remote.builtin.worker.zipapp_builder import build_zipapp
from torc_remote.errors import TorcError
from torc_remote.remote.archives import checksum
from torc_remote.remote.executables import require_program
from torc_remote.ssh.transfer import Meeting, new_meeting, plain_path


class ActionModule(ScriptTask):
    """Prepare, upload, finish."""

    _VALID_ARGS = ScriptTask.COMMON_ARGS

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
        sha256, meeting = checksum(file), new_meeting("torc-upload")
        names = [meeting.name, meeting.file, bool(self._connection.become)]
        prepared = self._run_script("prepare_install", [sha256, needs_python, self._task.check_mode, *names])
        if prepared["failed"] or prepared.get("state") != "ready":
            return prepared
        difference = {"diff": _difference(prepared, title, sha256)} if self._task.diff else {}
        if self._task.check_mode:
            return prepared | {"changed": True} | difference
        with self._leaving(lambda: self._as_login_user("lend_upload", meeting.name, "")):
            finishing = [meeting.name, sha256, self._upload(file, meeting, prepared)]
            return self._run_script("finish_install", finishing, changes=True) | difference

    def _upload(self, file: Path, meeting: Meeting, prepared: Result) -> str:
        """Put the file there; its path where another user, who logs in, lent the place."""
        lends = bool(self._connection.become)
        answer = self._as_login_user("lend_upload", meeting.name, meeting.file) if lends else prepared
        if answer["failed"] or "place" not in answer:
            raise TorcError(str(answer.get("msg", "the host did not say where to upload to")))
        there = meeting.path(answer["place"])
        try:
            with self._link(), plain_path(file) as here:
                self._connection.put_file(here, there)
        except LinkError:
            raise
        except AnsibleError as error:
            raise TorcError(f"The upload failed: {str(error).strip().splitlines()[-1]}") from error
        return there if lends else ""

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
