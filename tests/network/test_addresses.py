"""The table of addresses that OLLAMA_HOST can have."""

import pytest

from olpipe.network.addresses import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        # Source: https://github.com/ollama/ollama/blob/main/envconfig/config_test.go, TestHost
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        (":0", "http://:0"),
        (":66000", "http://:11434"),
        (":-1", "http://:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]", "http://[::]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        # ours
        ("unix:///run/olpipe.sock", "unix:///run/olpipe.sock"),
        (" 'UNIX:///run/olpipe.sock' ", "unix:///run/olpipe.sock"),
    ],
)
def test_an_address_is_read_as_ollama_reads_it(text, address):
    assert str(Address.parse(text)) == address


def test_a_socket_in_the_file_system_has_a_path_and_neither_name_nor_port():
    assert Address.parse("unix:///run/olpipe.sock") == Address("unix", "", 0, "/run/olpipe.sock")
    assert Address.parse("unix:///run/olpipe.sock").is_unix
    assert not Address.parse("localhost").is_unix
