"""Private SSH hosts on loopback addresses of this machine, for trying things and for tests.

Neither root nor containers: each host is an sshd of the current user at its own 127.x.y.z, with its own home.
"""

from torc_remote.sandbox.control import Sandbox, find, running, start
from torc_remote.sandbox.layout import Host, default_directory

__all__ = ["Host", "Sandbox", "default_directory", "find", "running", "start"]
