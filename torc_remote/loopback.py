"""Which names and addresses mean this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host name or an address, without brackets, means the machine that it is used on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
