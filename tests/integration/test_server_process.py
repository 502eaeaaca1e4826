"""The built-in server as a process."""

import requests


def test_it_answers(server):
    answer = requests.get(f"{server.url}/version", timeout=5)
    assert answer.json() == {"version": "1.0.0 (torc-remote)", "api_version": "0.23.0", "git_hash": "unknown"}
