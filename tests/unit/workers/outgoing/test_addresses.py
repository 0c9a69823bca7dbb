"""Which addresses may be reached."""

from ipaddress import ip_address, ip_network

import pytest

from workers.outgoing.addresses import refusal

PUBLIC = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a01:799::1")
NOT_PUBLIC = {
    "0.0.0.0/8": ("0.0.0.0", "0.1.2.3"),
    "127.0.0.0/8": ("127.0.0.1", "127.1.2.3", "127.255.255.254"),
    "10.0.0.0/8": ("10.0.0.1", "10.255.255.255"),
    "172.16.0.0/12": ("172.16.0.1", "172.31.255.255"),
    "192.168.0.0/16": ("192.168.1.1",),
    "169.254.0.0/16": ("169.254.1.1", "169.254.169.253"),
    "100.64.0.0/10": ("100.64.0.1", "100.127.255.254"),
    "192.0.0.0/24": ("192.0.0.1",),
    "192.0.2.0/24": ("192.0.2.1",),
    "198.18.0.0/15": ("198.19.255.1",),
    "224.0.0.0/4": ("224.0.0.1", "239.255.255.250"),
    "240.0.0.0/4": ("240.0.0.1", "255.255.255.255"),
    "::/128": ("::",),
    "::1/128": ("::1",),
    "::/96": ("::7f00:1", "::8.8.8.8"),
    "fc00::/7": ("fc00::1", "fdff::1"),
    "fe80::/10": ("fe80::1",),
    "fec0::/10": ("fec0::1",),
    "ff00::/8": ("ff02::1",),
    "::ffff:0:0/96": ("::ffff:127.0.0.1", "::ffff:8.8.8.8"),
    "::ffff:0:0:0/96": ("::ffff:0:7f00:1",),
    "64:ff9b::/96": ("64:ff9b::7f00:1", "64:ff9b::808:808"),
    "64:ff9b:1::/48": ("64:ff9b:1::7f00:1",),
    "2002::/16": ("2002:7f00:1::", "2002:808:808::1"),
    "2001::/32": ("2001::1", "2001:0:7f00:1::"),
    "2001:db8::/32": ("2001:db8::1",),
    "2001:4700::/32": ("2001:4700::5efe:7f00:1", "2001:4700::200:5efe:7f00:1"),
    "100::/64": ("100::1",),
    "4000::/3": ("4000::1",),
}
METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00:0",
    "fd00:ec2::254%1",
    "fd20:ce::254%eth0",
    "::ffff:169.254.169.254%2",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001::5601:5601",
    "2001:4700::5efe:a9fe:a9fe",
)
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_with_encryption(address: str) -> None:
    """What the whole world reaches is reached over https://; over http:// only where the operator names its network."""
    assert not refusal(ip_address(address), (), encrypted=True)
    assert "http://" in refusal(ip_address(address), (), encrypted=False)
    assert not refusal(ip_address(address), (ip_network(address),), encrypted=False)


@pytest.mark.parametrize(
    ("network", "address"), [(network, address) for network, found in NOT_PUBLIC.items() for address in found]
)
def test_other_addresses_are_reached_only_in_networks_that_are_named(network: str, address: str) -> None:
    """Private, loopback, link-local, shared, multicast and reserved addresses, also within IPv6, need a name."""
    others = (ip_network("203.0.113.0/24"), ip_network("2001:db8:1::/48"))
    assert "allow_private" in refusal(ip_address(address), others, encrypted=True)
    assert not refusal(ip_address(address), (*others, ip_network(network)), encrypted=True)
    assert not refusal(ip_address(address), (ip_network(network),), encrypted=False)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_addresses_are_never_reached(address: str) -> None:
    """Whatever networks are named, and in whatever form an address is written, no cloud is asked for credentials."""
    named = (*EVERYTHING, ip_network(address))
    assert "credentials" in refusal(ip_address(address), named, encrypted=True)


def test_a_mapped_address_is_the_one_that_it_maps() -> None:
    """IPv4 in the form of IPv6 is reached where the network of the IPv4 address is named."""
    assert not refusal(ip_address("::ffff:10.0.0.1"), (ip_network("10.0.0.0/8"),), encrypted=True)
    assert refusal(ip_address("::ffff:11.0.0.1"), (ip_network("10.0.0.0/8"),), encrypted=True)
