"""Action plugin torc.remote.fetch_logs: brings one host's logs to the controller, and only then may delete them."""

DOCUMENTATION = r"""
---
module: fetch_logs
short_description: Collect the logs of a workflow's worker from the host
description:
  - Packs the logs on the host, fetches the archive by sftp, compares its checksum and gives it its name; an archive
    is never overwritten by a different one. What has not changed since the last time is not fetched again.
options:
  workflow_id:
    description: The workflow.
    type: int
    required: true
  worker:
    description: The worker's address as stored at the server; the archive is named after it.
    type: str
    required: true
  output_dir:
    description: Output directory on the host; empty for the one in the worker's record.
    type: str
    default: ""
  destination:
    description: Directory on the controller.
    type: path
    required: true
  all_workflows:
    description: Take everything in the output directory, also what belongs to other workflows.
    type: bool
    default: false
  delete:
    description: Delete the logs on the host once they are here, unless a worker is running.
    type: bool
    default: false
  api_url:
    description: The server's URL; by default what torc's environment and configuration files say.
    type: str
  credentials_file:
    description: A private JSON file with the server's credentials; by default torc's environment.
    type: path
author: The torc-remote developers
"""

RETURN = r"""
archive:
  description: The archive on the controller.
  type: str
  returned: when there are logs
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.torc.remote.plugins.action.run_script import ActionModule as RunScript
from ansible_collections.torc.remote.plugins.action.run_script import LinkError

from torc_remote.archives import ArchiveError, Shelf, archive_name

Result = dict[str, Any]


class ActionModule(RunScript):
    """Pack, fetch, compare, keep, discard; then delete where that was asked for."""

    _VALID_ARGS = frozenset(
        (
            "workflow_id",
            "worker",
            "output_dir",
            "destination",
            "all_workflows",
            "delete",
            "api_url",
            "credentials_file",
        )
    )

    def _act(self, args: Mapping[str, Any], variables: Mapping[str, Any]) -> Result:
        if self._task.check_mode:
            return {"skipped": True, "msg": "logs are not collected in check mode"}
        shelf = Shelf(
            Path(str(args["destination"])).expanduser(),
            archive_name(int(args["workflow_id"]), str(args["worker"])),
        )
        shelf.prepare()
        known = shelf.newest()
        where = [args.get("output_dir"), bool(args.get("all_workflows"))]
        packed = self._run_script(variables, "pack_logs.sh", [*where, known[1] if known else ""])
        if packed["failed"]:
            return packed
        if packed["state"] == "packed":
            packed |= self._bring(variables, shelf, packed)
        elif packed["state"] == "unchanged" and known:
            packed["archive"] = str(known[0])
        if not args.get("delete") or packed["failed"]:
            return packed
        return packed | self._delete(variables, where, packed.get("manifest"))

    def _bring(self, variables: Mapping[str, Any], shelf: Shelf, packed: Result) -> Result:
        """Fetch the packed file; whatever happens, neither side keeps an unfinished one."""
        hung = False
        try:
            self._fetch(str(packed["archive"]), shelf.part)
            # what could not be read must be asked for again, so its manifest is not taken for collected
            manifest = "" if packed.get("unread") else str(packed["manifest"])
            archive = shelf.keep(str(packed["sha256"]), manifest)
        except LinkError as error:
            hung = error.hung
            raise
        finally:
            shelf.part.unlink(missing_ok=True)
            if not hung:
                with suppress(LinkError):  # a later collect removes it
                    self._run_script(variables, "discard_archive.sh", [packed["archive"]])
        collected: Result = {"state": "collected", "changed": True, "archive": str(archive)}
        if packed.get("unread"):
            collected |= {
                "failed": True,
                "state": "incomplete",
                "msg": f"not everything could be read: {packed['unread'].splitlines()[0]}",
            }
        return collected

    def _fetch(self, archive: str, part: Path) -> None:
        part.touch(mode=0o600)
        try:
            with self._link():
                self._connection.fetch_file(archive, str(part))
        except LinkError:
            raise
        except (AnsibleError, OSError) as error:
            last = str(error).strip().splitlines()[-1:]
            raise ArchiveError(f"the archive could not be fetched: {' '.join(last)}") from error

    def _delete(self, variables: Mapping[str, Any], where: list[Any], manifest: str | None) -> Result:
        if manifest is None:
            return {}
        deleted = self._run_script(
            variables, "delete_logs.sh", [*where, manifest], role="delete_logs", changes=True
        )
        kept = {key: deleted[key] for key in ("removed", "kept") if key in deleted}
        if deleted["failed"]:
            return {
                "failed": True,
                "state": "not_deleted",
                "msg": f"collected, but not deleted: {deleted['msg']}",
            }
        return kept | {"changed": True, "deleted": True}
