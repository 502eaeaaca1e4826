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
unsafe:
  description: What in the archive would be written outside of the directory in which it is unpacked.
  type: str
  returned: when there is such
outside_links:
  description: Symbolic links in the archive that point out of it.
  type: str
  returned: when there are such
unchecked:
  description: Why the archive was not looked through to its end.
  type: str
  returned: when it was not
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.torc.remote.plugins.plugin_utils.link import LinkError
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result
from ansible_collections.torc.remote.plugins.plugin_utils.script_task import ScriptTask

from torc_remote.errors import TorcError
from torc_remote.remote.archives import ArchiveError, WorkerArchives, archive_name
from torc_remote.ssh.transfer import Meeting, at_most, check_room, new_meeting, plain_path


class ActionModule(ScriptTask):
    """Pack, fetch, compare, keep, discard; then delete where that was asked for."""

    _VALID_ARGS = ScriptTask.COMMON_ARGS

    def _act(self, args: Mapping[str, Any]) -> Result:
        worker = str(self._value("torc_worker") or self._variables["inventory_hostname"])
        workflow_id = int(self._value("torc_workflow_id"))
        archives = WorkerArchives(
            Path(str(self._value("torc_local_output_dir"))).expanduser(), archive_name(workflow_id, worker)
        )
        known = archives.newest()
        number, keys = self._workflow_arguments()
        meeting = new_meeting(f"torc-logs-{number}-{keys.split(' ')[0]}")
        where = [self._value("torc_output_dir"), self._flag("torc_all_workflows")]
        look_only = self._task.check_mode
        how = [known.manifest if known else "", look_only, bool(self._connection.become)]
        arguments = [*where, *how, meeting.name, meeting.file]
        packed = self._run_script("pack_logs", arguments, workflow=True)
        if packed["failed"]:
            return packed
        if look_only:
            deletes = self._flag("torc_delete") and packed.get("state") != "absent"
            return packed | {"changed": deletes or packed.get("state") == "uncollected"}
        archives.prepare()
        if packed.get("state") == "packed":
            packed |= self._bring(archives, packed, meeting)
        elif packed.get("state") == "unchanged" and known:
            packed |= {"archive": str(known.path), **known.findings}
        if not self._flag("torc_delete") or packed["failed"]:
            return packed
        return packed | self._delete(where, packed.get("manifest"))

    def _bring(self, archives: WorkerArchives, packed: Result, meeting: Meeting) -> Result:
        """Take over the archive; whatever happens, neither side keeps an unfinished one."""
        content, place = packed.pop("content", None), packed.pop("place", None)
        try:
            if content is None:
                with self._leaving(lambda: self._run_script("discard_archive", [meeting.name])):
                    self._fetch(meeting.path(place), packed["size"], archives.part)
            else:
                _unpack(content, packed["size"], archives.part)
            # what could not be read must be asked for again, so its manifest is not taken for collected
            kept = archives.keep(packed["sha256"], "" if packed.get("unread") else packed["manifest"])
        finally:
            archives.part.unlink(missing_ok=True)
        collected: Result = {
            "state": "collected",
            "changed": True,
            "archive": str(kept.path),
            **kept.findings,
        }
        if packed.get("unread"):
            collected |= {
                "failed": True,
                "state": "incomplete",
                "msg": f"not everything could be read: {packed['unread'].splitlines()[0]}",
            }
        return collected

    def _fetch(self, there: str, size: int, part: Path) -> None:
        """Fetch the archive, of as many bytes as the host announced and no more."""
        with _complaints():
            check_room(size, part.parent)
            part.touch(mode=0o600)
            try:
                with at_most(size), self._link(), plain_path(part) as here:
                    self._connection.fetch_file(there, here)
            except LinkError:
                raise
            except AnsibleError:
                if part.stat().st_size <= size:
                    raise
            if part.stat().st_size > size:
                raise ArchiveError(f"the host sent more than the {size} bytes that it had announced")

    def _delete(self, where: list[Any], manifest: str | None) -> Result:
        if manifest is None:
            return {}
        deleted = self._run_script("delete_logs", [*where, manifest], workflow=True, changes=True)
        if deleted["failed"]:
            return {
                "failed": True,
                "state": "not_deleted",
                "msg": f"collected, but not deleted: {deleted.get('msg', 'the host gives no reason')}",
            }
        # beside what was deleted, which worker's compute nodes the server must be told of
        deletion = {key: value for key, value in deleted.items() if key not in ("state", "msg")}
        return deletion | {"changed": True, "deleted": True}


def _unpack(content: str, size: int, part: Path) -> None:
    """Write the archive that came with the answer."""
    with _complaints():
        data = b64decode(content)
        if len(data) != size:
            raise ArchiveError(f"the host sent {len(data)} bytes instead of the {size} that it had announced")
        part.touch(mode=0o600)
        part.write_bytes(data)


@contextmanager
def _complaints() -> Iterator[None]:
    """All that may go wrong with a file as an ArchiveError, but for what the link does."""
    try:
        yield
    except LinkError:
        raise
    except AnsibleError as error:
        last = str(error).strip().splitlines()[-1:]
        raise ArchiveError(f"the archive could not be fetched: {' '.join(last)}") from error
    except (OSError, ValueError, TorcError) as error:
        raise ArchiveError(f"the archive could not be fetched: {error}") from error
