"""Action plugin torc.remote.fetch_logs: brings one host's logs to the controller, and only then may delete them."""

DOCUMENTATION = r"""
---
module: fetch_logs
short_description: Collect the logs of a workflow's worker from the host
description:
  - Packs the logs on the host, takes the archive from its answer or, a larger one, fetches it by sftp, compares its
    checksum and gives it its name; an archive is never overwritten by a different one. What has not changed since
    the last time is not fetched again.
notes:
  - Takes no options. The role's variables are read directly, as M(torc.remote.run_script) does, among them
    torc_workflow_id, torc_worker, torc_output_dir, torc_local_output_dir, torc_all_workflows and torc_delete.
author: The torc-remote developers
"""

RETURN = r"""
archive:
  description: The archive on the controller.
  type: str
  returned: when there are logs
"""

from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.torc.remote.plugins.action.run_script import ActionModule as RunScript
from ansible_collections.torc.remote.plugins.action.run_script import LinkError

from torc_remote.archives import ArchiveError, Shelf, archive_name

Result = dict[str, Any]

# What was deleted, and which worker's compute nodes the server must be told of.
_OF_DELETION = ("removed", "kept", "nodes", "node_names", "lost")


class ActionModule(RunScript):
    """Pack, fetch, compare, keep, discard; then delete where that was asked for."""

    _VALID_ARGS = RunScript.COMMON_ARGS

    def _act(self, args: Mapping[str, Any]) -> Result:
        worker = str(self._value("torc_worker") or self._variables["inventory_hostname"])
        shelf = Shelf(
            Path(str(self._value("torc_local_output_dir"))).expanduser(),
            archive_name(int(self._value("torc_workflow_id")), worker),
        )
        known = shelf.newest()
        where = [self._value("torc_output_dir"), self._flag("torc_all_workflows")]
        look_only = self._task.check_mode
        how = [known[1] if known else "", look_only, bool(self._connection.become)]
        packed = self._run_script("pack_logs.sh", [*where, *how], workflow=True)
        if packed["failed"]:
            return packed
        if look_only:
            deletes = self._flag("torc_delete") and packed["state"] != "absent"
            return packed | {"changed": deletes or packed["state"] == "uncollected"}
        shelf.prepare()
        if packed["state"] == "packed":
            packed |= self._bring(shelf, packed)
        elif packed["state"] == "unchanged" and known:
            packed["archive"] = str(known[0])
        if not self._flag("torc_delete") or packed["failed"]:
            return packed
        return packed | self._delete(where, packed.get("manifest"))

    def _bring(self, shelf: Shelf, packed: Result) -> Result:
        """Take over the archive; whatever happens, neither side keeps an unfinished one."""
        content, remote = packed.pop("content", None), packed.pop("archive", None)
        hung = False
        try:
            self._receive(content, remote, shelf.part)
            # what could not be read must be asked for again, so its manifest is not taken for collected
            manifest = "" if packed.get("unread") else str(packed["manifest"])
            archive = shelf.keep(str(packed["sha256"]), manifest)
        except LinkError as error:
            hung = error.hung
            raise
        finally:
            shelf.part.unlink(missing_ok=True)
            if remote and not hung:
                with suppress(LinkError):  # a later collect removes it
                    self._run_script("discard_archive.sh", [remote])
        collected: Result = {"state": "collected", "changed": True, "archive": str(archive)}
        if packed.get("unread"):
            collected |= {
                "failed": True,
                "state": "incomplete",
                "msg": f"not everything could be read: {packed['unread'].splitlines()[0]}",
            }
        return collected

    def _receive(self, content: str | None, remote: str | None, part: Path) -> None:
        """Write the archive that came with the answer, or fetch it."""
        try:
            part.touch(mode=0o600)
            if content is not None:
                part.write_bytes(b64decode(content))
                return
            with self._link():
                self._connection.fetch_file(remote, str(part))
        except LinkError:
            raise
        except (AnsibleError, OSError, ValueError) as error:
            last = str(error).strip().splitlines()[-1:]
            raise ArchiveError(f"the archive could not be fetched: {' '.join(last)}") from error

    def _delete(self, where: list[Any], manifest: str | None) -> Result:
        if manifest is None:
            return {}
        deleted = self._run_script(
            "delete_logs.sh", [*where, manifest], workflow=True, role="delete_logs", changes=True
        )
        kept = {key: deleted[key] for key in _OF_DELETION if key in deleted}
        if deleted["failed"]:
            return {
                "failed": True,
                "state": "not_deleted",
                "msg": f"collected, but not deleted: {deleted['msg']}",
            }
        return kept | {"changed": True, "deleted": True}
