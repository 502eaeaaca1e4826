"""torc-remote: run Torc workflows on machines that are reached with ssh.

The version follows the torc release whose protocol is spoken (Python 3.8 syntax here: hosts run this file too).
"""

__version__ = "1.0.0"
