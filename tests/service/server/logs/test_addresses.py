import pytest

from service.server.logs.addresses import client_address, networks


def asked(peer: str | None, *named: str, trusted: str = "10.0.0.0/8,::1") -> str:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in named]
    client = peer and (peer, 1)
    return client_address({"type": "http", "client": client, "headers": headers}, networks(trusted))


@pytest.mark.parametrize(
    ("peer", "named", "address"),
    [
        ("192.0.2.1", ["6.6.6.6"], "192.0.2.1"),  # no proxy of ours says that
        ("10.1.1.1", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("10.1.1.1", ["6.6.6.6, 192.0.2.1, 10.2.2.2"], "192.0.2.1"),
        ("10.1.1.1", ["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        ("10.1.1.1", ["10.3.3.3"], "10.3.3.3"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["192.0.2.1, "], "10.1.1.1"),
        ("10.1.1.1", ["192.0.2.1\nforged"], "10.1.1.1"),
        ("10.1.1.1", ["unknown"], "10.1.1.1"),
        ("::1", ["2001:DB8::1"], "2001:db8::1"),
        ("::ffff:10.1.1.1", ["192.0.2.1"], "192.0.2.1"),
        ("a socket", ["192.0.2.1"], "a socket"),
        (None, ["192.0.2.1"], "unknown"),
    ],
)
def test_who_asks(peer: str | None, named: list[str], address: str) -> None:
    assert asked(peer, *named) == address


def test_without_trusted_proxies_nobody_s_word_counts() -> None:
    assert asked("127.0.0.1", "6.6.6.6", trusted="") == "127.0.0.1"
    with pytest.raises(ValueError, match="proxy"):
        networks("10.0.0.1, proxy.example")
