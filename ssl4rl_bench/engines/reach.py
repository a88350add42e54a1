"""Checks that a server can be reached before a client with long timeouts and retries is started.

A name that is not resolved, or packets that a firewall drops, would otherwise hold a command for minutes.
"""

from __future__ import annotations

import socket
import threading
import urllib.request
from urllib.parse import urlsplit

CONNECT_S = 3.0
"""The time limit in seconds for resolving a name and connecting."""
_PORTS = {"http": 80, "https": 443}


def unreachable(url: str, within_s: float = CONNECT_S) -> str | None:
    """Returns why the server of a URL, or the proxy for it, cannot be reached, as a clause; None if it can.

    Opens one connection and closes it. Proxies are those of the environment.
    """
    host, port = _endpoint(url)
    problems: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=within_s).close()
        except socket.gaierror:
            problems.append("no such host, or no network")
        except TimeoutError:
            problems.append(f"no connection within {within_s:g} s")
        except (OSError, ValueError) as error:
            problems.append((getattr(error, "strerror", None) or type(error).__name__).lower())

    # A thread, since nothing limits the time in which a name is resolved.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        return f"no connection within {within_s:g} s"
    return problems[0] if problems else None


def _endpoint(url: str) -> tuple[str, int]:
    """Returns the host and port to connect to: those of the proxy, if there is one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host = parts.hostname or ""
    return host, parts.port or _PORTS.get(parts.scheme, 1080)
