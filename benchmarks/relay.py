"""Hosts that are far away: a relay before each sshd of a sandbox holds back what passes, in both directions."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torc_remote.sandbox import Sandbox

_CHUNK = 65536


@contextmanager
def far_away(sandbox: Sandbox, delay: float, directory: Path) -> Iterator[Path]:
    """Relays with this delay in seconds each way; the path of the ssh configuration that leads through them."""
    layout = sandbox.layout
    port = layout.port + 1 if layout.port < 65535 else layout.port - 1
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = _listen([host.address for host in sandbox.hosts], layout.port, port, delay)
    asyncio.run_coroutine_threadsafe(listening, loop).result(30)
    known_hosts = directory / "far_known_hosts"
    known_hosts.write_text(
        (layout.directory / "known_hosts").read_text().replace(f":{layout.port} ", f":{port} ")
    )
    config = directory / "far_ssh_config"
    text = layout.ssh_config.read_text().replace(f"Port {layout.port}", f"Port {port}")
    config.write_text(text.replace(str(layout.directory / "known_hosts"), str(known_hosts)))
    try:
        yield config
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _listen(addresses: list[str], port: int, relay_port: int, delay: float) -> None:
    for address in addresses:

        async def relay(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str = address
        ) -> None:
            to_host, from_host = await asyncio.open_connection(address, port)
            with suppress(asyncio.CancelledError):  # which asyncio's streams of Python 3.11 would report
                await asyncio.gather(_pass(reader, from_host, delay), _pass(to_host, writer, delay))

        await asyncio.start_server(relay, address, relay_port)


async def _hang_up() -> None:
    """Connections that are kept open end with the relays."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Each piece arrives so much later than it was sent; many may be on their way at once."""
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            loop.call_later(delay, writer.write, data)
    loop.call_later(delay, writer.close)
