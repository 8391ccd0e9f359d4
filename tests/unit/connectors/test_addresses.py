"""Where a connector may not go, however the address is written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.connectors.addresses import AddressRule, is_private_name, is_public, look_up
from flux_actors.errors import Refused, Unavailable

PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.192", "255.255.255.255"),
    *("224.0.0.1", "240.0.0.1", "168.63.129.16", "192.0.2.1", "203.0.113.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::10.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:db8::1"),
    *("2001:0:4136:e378:8000:63bf:80ff:fffe", "3fff::1", "4000::1", "", "localhost", "1.2.3.4.5", "nonsense"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "140.82.121.6", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"]
PUBLIC += ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_open_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_of_the_open_internet(address):
    assert is_public(address)


IPV4 = st.integers(0, (1 << 32) - 1).map(ipaddress.IPv4Address)


@given(IPV4)
def test_an_ipv4_address_is_judged_alike_in_every_ipv6_dress(address):
    number = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    translated = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    tunnelled = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    public = is_public(str(address))
    assert is_public(str(mapped)) == is_public(str(translated)) == is_public(str(tunnelled)) == public


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_that_python_calls_private_is_public(address):
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        mapped = getattr(address, "ipv4_mapped", None)  # Python calls all of these private
        assert not is_public(str(address)) or (mapped is not None and is_public(str(mapped)))


NAMES = ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal", "x.home.arpa"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_of_the_local_network_is_refused_without_a_look_up(name):
    async def never(host, port):
        raise AssertionError(host)

    assert is_private_name(name)
    with pytest.raises(Refused, match="FLUX_CONNECTORS_ALLOW_PRIVATE"):
        await AddressRule(allow_private=False, look_up=never).addresses(name, 80)


@pytest.mark.parametrize("name", ["example.com", "notlocalhost", "local.example.com", "internal.example.org"])
def test_other_names_are_looked_up(name):
    assert not is_private_name(name)


WRITTEN = ["127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "017700000001", "[::1]"]


@pytest.mark.parametrize("host", WRITTEN)
async def test_every_way_to_write_loopback_is_loopback(host):
    with pytest.raises((Refused, Unavailable)):
        await AddressRule(allow_private=False).addresses(host, 80)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "::1", "::ffff:127.0.0.1"])
async def test_the_systems_own_look_up_reads_them(host):
    assert not any(map(is_public, await look_up(host, 80)))


@pytest.mark.parametrize("host", ["a" * 300, "", "\udcff", "-", "a..b", "x.invalid"])
async def test_a_name_that_is_none_is_told(host):
    with pytest.raises((Unavailable, Refused)):
        await AddressRule(allow_private=False).addresses(host, 80)


class Names:
    """A look-up that answers from a list, in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_name_with_one_private_address_among_others_is_refused():
    rule = AddressRule(allow_private=False, look_up=Names(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(Refused, match="private, loopback or metadata"):
        await rule.addresses("mixed.example", 443)


async def test_all_addresses_of_a_public_name_may_be_tried():
    rule = AddressRule(allow_private=False, look_up=Names(["8.8.8.8", "1.1.1.1"]))
    assert await rule.addresses("public.example", 443) == ["8.8.8.8", "1.1.1.1"]


async def test_an_operator_allows_all_or_one_api_of_his_own():
    names = Names(["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"])
    assert await AddressRule(allow_private=True, look_up=names).addresses("localhost", 1) == ["127.0.0.1"]
    rule = AddressRule(allow_private=False, trusted=("github.corp", 443), look_up=names)
    assert await rule.addresses("github.corp", 443) == ["10.0.0.1"]
    with pytest.raises(Refused):
        await rule.addresses("github.corp", 22)


async def test_a_name_that_is_not_known_yet_may_be_configured():
    rule = AddressRule(allow_private=False, look_up=Names(Unavailable("unknown"), ["10.0.0.1"]))
    await rule.check("later.example", 443)
    with pytest.raises(Refused):
        await rule.check("later.example", 443)
