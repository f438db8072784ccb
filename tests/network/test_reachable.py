"""Which hosts may be reached, as a setting says it."""

import pytest

from olpipe.network.reachable import Reachable


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("", Reachable(), "off"),
        ("off", Reachable(), "off"),
        ("False", Reachable(), "off"),
        (" on ", Reachable(public=True), "on"),
        ('"true"', Reachable(public=True), "on"),
        ("Photos.Example, *.cdn.example.", Reachable(names=("photos.example", "*.cdn.example")), None),
        ("on,192.168.1.0/24,::1", Reachable(public=True, networks=("192.168.1.0/24", "::1")), None),
    ],
)
def test_a_setting_says_which_hosts_are_allowed(text, expected, shown):
    found = Reachable.parse(text)
    assert found == expected
    assert Reachable.parse(str(found)) == found
    assert shown is None or str(found) == shown
    assert bool(found) is (expected != Reachable())


@pytest.mark.parametrize(
    "text", ["http://a.example", "a b", "*", "a.*.example", "300.1.1.1", "1.2.3", "a.example:80", "-a"]
)
def test_what_is_no_host_is_refused(text):
    with pytest.raises(ValueError, match="is neither a host name nor an address"):
        Reachable.parse(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("photos.example", True), ("a.cdn.example", True), ("a.b.cdn.example", True), ("cdn.example", False),
     ("evilphotos.example", False), ("photos.example.evil.example", False), ("xcdn.example", False)],
)  # fmt: skip
def test_a_name_is_in_the_list_itself_or_below_one_with_a_star(name, expected):
    assert Reachable.parse("photos.example,*.cdn.example").names_host(name) is expected
