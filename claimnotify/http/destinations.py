"""Reads a URL in the one way no two parsers disagree about, and refuses every other. No I/O."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.addresses import Address, parse_address

__all__ = ["Destination", "is_internal", "is_treacherous", "parse_destination", "refusal"]

_LONGEST_URL = 2048
_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]+)(?P<rest>.*)", re.DOTALL)
_AUTHORITY = re.compile(
    r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[1-9][0-9]{0,4}))?", re.ASCII
)
_NAME = re.compile(
    r"(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?:[a-z][a-z0-9-]{0,61}[a-z0-9]|[a-z])", re.ASCII
)
_DEFAULT_PORTS = {"https": 443, "http": 80}
_IN_PATHS = "%/:@!$&'()*+,;=[]|^"
_IN_QUERIES = _IN_PATHS + "?`{}"
"""What is sent as it stands besides letters, digits and `-._~`, as browsers do it (URL Standard)."""

_INTERNAL_SUFFIXES = frozenset(
    [
        "alt",
        "arpa",
        "cluster",
        "consul",
        "corp",
        "docker",
        "home",
        "internal",
        "intra",
        "intranet",
        "invalid",
        "kubernetes",
        "lan",
        "local",
        "localdomain",
        "localdomain6",
        "localhost",
        "mail",
        "onion",
        "priv",
        "private",
        "svc",
        "test",
    ]
)
"""Last labels that no public host has (RFC 2606, 6761, 6762, 8375, 9476, and common usage)."""

_METADATA_NAMES = frozenset(
    [
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.azure.com",
        "metadata.azure.internal",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "metadata.tencentyun.com",
        "api.metadata.cloud.ibm.com",
        "rancher-metadata",
    ]
)

_ANY_ADDRESS_NAMES = frozenset(
    [
        "nip.io",
        "sslip.io",
        "xip.io",
        "localtest.me",
        "lvh.me",
        "vcap.me",
        "lacolhost.com",
        "1u.ms",
        "rbndr.us",
        "localho.st",
        "traefik.me",
    ]
)
"""Domains whose names resolve to whatever address they spell, or to this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a URL leads.

    Args:
        scheme: `https` or `http`.
        host: The name in ASCII and lower case, or the address without brackets.
        port: The port, the scheme's own where the URL names none.
        address: The host as an address, if it is one.
        target: Path and query as they stand in the request line (RFC 9112 section 3.2.1).
    """

    scheme: str
    host: str
    port: int
    address: Address | None
    target: str = "/"

    @property
    def authority(self) -> str:
        """The host, in brackets if it has colons, and the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def refusal(problem: str, remedy: str = "") -> ForbiddenDestination:
    """Return the error that says why a URL is refused; it never repeats the URL."""
    return ForbiddenDestination("url", problem, remedy or "Give the https URL of a public host.")


def parse_destination(url: str) -> Destination:
    """Return where `url` leads.

    Raises:
        ForbiddenDestination: It is not an absolute http or https URL, names a user, or is written
            in a way that another parser might read differently.
    """
    if not isinstance(url, str) or not url or len(url) > _LONGEST_URL:
        raise refusal(f"is not text of 1 to {_LONGEST_URL} characters")
    if "\\" in url or any(unicodedata.category(char)[0] in "CZ" for char in url):
        raise refusal("has a space, backslash or control character")
    match = _URL.fullmatch(url)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in _DEFAULT_PORTS:
        raise refusal("is not an absolute http or https URL")
    authority, rest = match["authority"], match["rest"]
    if "@" in authority:
        raise refusal("names a user or a password", "Put no credentials into the URL.")
    if "%" in authority:
        raise refusal("has a percent sign in its host")
    if rest[:1] in ("?", "#") and "@" in rest:
        raise refusal("has an @ right after its host", "Put a slash after the host.")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise refusal("has a malformed host or port")
    port = int(parts["port"] or _DEFAULT_PORTS[scheme])
    if port > 65535:
        raise refusal("has a port above 65535")
    host, address = _host(parts["host"])
    return Destination(scheme=scheme, host=host, port=port, address=address, target=_target(rest))


def is_internal(host: str) -> bool:
    """Return whether the name `host` is one that only an internal network knows."""
    return "." not in host or host.rpartition(".")[2] in _INTERNAL_SUFFIXES


def is_treacherous(host: str) -> bool:
    """Return whether the name `host` is a metadata service's, or spells the address it leads to."""
    if host in _METADATA_NAMES:
        return True
    return any(host == name or host.endswith(f".{name}") for name in _ANY_ADDRESS_NAMES)


def _host(text: str) -> tuple[str, Address | None]:
    """Return the host in its one spelling, and as an address if it is one."""
    if text.startswith("["):
        address = parse_address(text[1:-1])
        if address is None or address.version != 6:
            raise refusal("has brackets around what is not an IPv6 address")
        return str(address), address
    address = parse_address(text)
    if address is not None:
        return str(address), address
    name = text.lower() if text.isascii() else _ascii_name(text)
    # A last label that begins with a digit is an IPv4 address in a spelling such as 127.1, 0x7f.1
    # or 2130706433 to some parsers; no top-level domain begins with one.
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise refusal("has a host that is neither a name nor an address in its ordinary spelling")
    return name, None


def _target(rest: str) -> str:
    """Return what follows the authority without dot segments and fragment, in characters of a URI.

    What is percent-encoded stays so, letter for letter: receivers may sign or route by it.
    """
    path, mark, query = rest.partition("#")[0].partition("?")
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if path.endswith(("/.", "/..")) and kept[-1:] != [""]:
        kept.append("")
    return "/" + quote("/".join(kept), safe=_IN_PATHS) + mark + quote(query, safe=_IN_QUERIES)


def _ascii_name(text: str) -> str:
    """Return an internationalised name in ASCII (RFC 5891)."""
    lowered = text.lower()
    # Full-width digits and letters, circled ones, the Kelvin sign, ideographic dots: parsers map
    # them, or do not.
    plain = all(unicodedata.is_normalized("NFKC", each) for each in (text, lowered))
    if not plain or "\u3002" in lowered:
        raise refusal("has a host in characters that stand for others", "Write it in plain ones.")
    import idna  # httpx encodes names with the same package, so both see the same host

    try:
        return idna.encode(lowered).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise refusal("has a host that is not a valid international name") from None
