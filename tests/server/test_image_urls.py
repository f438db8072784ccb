"""Images whose URL is in a request: only from hosts that are allowed, and never from inside the server's network."""

import base64
import ssl
import subprocess
from functools import partial
from ipaddress import ip_address

import anyio
import pytest

from olpipe.network.public_addresses import is_public
from olpipe.network.reachable import Reachable
from olpipe.server.image_urls import MOST_REDIRECTS, MOST_URLS, ImageUrls
from olpipe.server.question import EncodedImage, Question, Turn
from olpipe.server.refusal import Refusal
from olpipe.testing.images import photo
from tests.server.image_host import ImageHost

PHOTO = photo(64, 32)
NOT_ONE = "its host is not known, or not one to fetch from"


@pytest.fixture
def host():
    with ImageHost() as host:
        host.answers["/cat.jpg"] = (200, {}, PHOTO)
        yield host


def fetch(url, allowed="127.0.0.1", **options):
    """Fetch an image, where the settings allow what they say."""
    return anyio.run(ImageUrls(Reachable.parse(allowed), **options).fetch, url)


def refusal(url, allowed="127.0.0.1", **options):
    """Return why an image is not fetched."""
    with pytest.raises(Refusal) as caught:
        fetch(url, allowed, **options)
    assert caught.value.status == 400
    return caught.value.message


def resolver(*answers):
    """Return a name server that gives one list of addresses after the other, and the names that it was asked for."""
    asked, left = [], list(answers)

    async def resolve(name, port):
        asked.append(name)
        return left.pop(0)

    return resolve, asked


# --- which addresses are public -----------------------------------------------------------------


# The blocks of the special-purpose registries, and addresses at which clouds tell secrets.
# Source: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "169.254.0.1"),
        *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
        *("192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
        *("255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
        *(
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
        ),
        *("fe80::1", "fec0::1", "ff02::1"),
    ],
)
def test_an_address_inside_a_network_is_not_public(address):
    assert is_public(ip_address(address)) is False


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::8.8.8.8"])
def test_an_address_of_the_internet_is_public(address):
    assert is_public(ip_address(address)) is True


# --- what is fetched ----------------------------------------------------------------------------


def test_an_image_is_fetched_from_an_address_that_is_listed(host):
    assert fetch(host.url("/cat.jpg")) == PHOTO
    assert host.asked == [(f"127.0.0.1:{host.port}", "/cat.jpg")]


def test_nothing_is_fetched_where_the_setting_is_off(host):
    assert refusal(host.url("/cat.jpg"), "off").startswith("image URLs are not currently supported")
    assert host.asked == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/"),
        *("http://localhost/", "http://LOCALHOST./", "http://0/", "http://0.0.0.0/", "http://[::1]/", "http://[::]/"),
        *("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "http://10.0.0.1/"),
        *(
            "http://169.254.169.254/latest/meta-data/",
            "http://[fd00:ec2::254]/",
            "http://168.63.129.16/",
            "http://224.0.0.1/",
        ),
        *("http://127.0.0.1:443/", "https://192.168.0.1/", "http://nowhere.invalid/"),
    ],
)
def test_on_does_not_lead_into_the_network_of_the_server(url):
    assert NOT_ONE in refusal(url, "on")


def test_on_leads_to_the_usual_ports_only():
    assert NOT_ONE in refusal("http://8.8.8.8:22/", "on")
    assert NOT_ONE in refusal("http://photos.example:6379/", "on", resolve=resolver(["8.8.8.8"])[0])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "is not a URL of http or https"),
        ("ftp://127.0.0.1/", "is not a URL of http or https"),
        ("gopher://127.0.0.1:6379/_x", "is not a URL of http or https"),
        ("http:///cat.jpg", "is not a URL of http or https"),
        ("http://user:secret@127.0.0.1/", "must not have a user name"),
        ("http://[::1/", "is not a URL"),
        ("http://0177.0.0.1/", "is not a URL"),
        ("http://①②⑦.0.0.1/", "is not a URL"),
        ("http://127.0.0.1:99999/", "is not a URL"),
        ("http://127.0.0.1/\r\nX-Evil: 1", "is not a URL"),
        ("http://127.0.0.1/" + "a" * 9000, "has 9017 characters"),
    ],
)
def test_what_is_no_plain_url_is_refused(url, reason):
    assert reason in refusal(url, "on,127.0.0.1")


def test_a_name_that_is_not_listed_is_not_even_looked_up():
    resolve, asked = resolver(["8.8.8.8"])
    assert NOT_ONE in refusal("http://other.example/", "photos.example,127.0.0.1", resolve=resolve)
    assert asked == []


def test_a_listed_name_leads_to_a_private_address_only_where_that_is_listed_too(host):
    url = host.url("/cat.jpg", "photos.example")
    assert NOT_ONE in refusal(url, "photos.example", resolve=resolver(["127.0.0.1"])[0])
    assert NOT_ONE in refusal(url, "photos.example,10.0.0.0/8", resolve=resolver(["127.0.0.1"])[0])
    assert host.asked == []
    assert fetch(url, "photos.example,127.0.0.0/8", resolve=resolver(["127.0.0.1"])[0]) == PHOTO
    assert host.asked == [(f"photos.example:{host.port}", "/cat.jpg")]


def test_a_host_with_one_address_inside_is_refused_whatever_its_others_are():
    for addresses in (["8.8.8.8", "10.0.0.1"], ["2606:2800:21f:cb07::1", "::1"], []):
        assert NOT_ONE in refusal("http://photos.example/", "on", resolve=resolver(addresses)[0])


def test_a_name_is_resolved_once_and_its_address_kept(host):
    # The second answer is that of a name server which wants to lead the request elsewhere
    resolve, asked = resolver(["127.0.0.1"], ["10.0.0.1"])
    assert fetch(host.url("/cat.jpg", "photos.example"), "photos.example,127.0.0.1", resolve=resolve) == PHOTO
    assert asked == ["photos.example"]


# --- redirects ----------------------------------------------------------------------------------


def test_a_redirect_is_followed_where_it_may_be(host):
    host.answers["/old"] = (302, {"Location": "/older"}, b"")
    host.answers["/older"] = (308, {"Location": host.url("/cat.jpg")}, b"")
    assert fetch(host.url("/old")) == PHOTO


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/cat.jpg",
        "http://10.0.0.1/",
        "//[::1]:{port}/cat.jpg",
        "http://2130706433:{port}/cat.jpg",
    ],
)
def test_a_redirect_to_another_host_is_checked_again(host, location):
    host.answers["/old"] = (301, {"Location": location.format(port=host.port)}, b"")
    assert NOT_ONE in refusal(host.url("/old"), "on,127.0.0.1")
    assert [path for _, path in host.asked] == ["/old"]


def test_a_redirect_to_another_kind_of_url_is_refused(host):
    host.answers["/old"] = (302, {"Location": "file:///etc/passwd"}, b"")
    assert "is not a URL of http or https" in refusal(host.url("/old"))


def test_a_redirect_resolves_its_name_again(host):
    host.answers["/old"] = (302, {"Location": host.url("/cat.jpg", "photos.example")}, b"")
    resolve, asked = resolver(["127.0.0.1"], ["10.0.0.1"])
    assert NOT_ONE in refusal(host.url("/old", "photos.example"), "photos.example,127.0.0.1", resolve=resolve)
    assert asked == ["photos.example"] * 2


def test_redirects_end(host):
    host.answers["/round"] = (302, {"Location": "/round"}, b"")
    assert f"redirected more than {MOST_REDIRECTS} times" in refusal(host.url("/round"))
    assert len(host.asked) == MOST_REDIRECTS + 1


# --- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {}, b"no"), "answered with the status 404"),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"), "its host says that it is `text/html`"),
        ((200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), "sent it in the encoding `gzip`"),
        ((200, {"Content-Length": "2000"}, b""), "has more than 1000 bytes"),
        ((200, {}, b"x" * 1001), "has more than 1000 bytes"),
        ((200, {}, b""), "is empty"),
        ((302, {"Location": "http://["}, b""), NOT_ONE),
    ],
)
def test_what_is_no_image_of_a_fair_size_is_refused(host, answer, reason):
    host.answers["/image"] = answer
    assert reason in refusal(host.url("/image"), most_bytes=1000)


def test_an_image_that_does_not_arrive_is_given_up(host):
    host.answers["/never-ends"] = (200, {}, b"x")
    assert "has not arrived within 0.5 seconds" in refusal(host.url("/never-ends"), within_s=0.5)


def test_a_host_that_does_not_answer_is_named():
    with ImageHost() as host:
        url = host.url("/cat.jpg")
    assert f"the image at `{url}` cannot be fetched: " in refusal(url)


def asked_for(*urls):
    return Question("seer", (Turn("user", tuple(EncodedImage(b"", url) for url in urls)),))


def test_the_images_of_several_questions_are_fetched_once(host):
    host.answers["/dog.jpg"] = (200, {}, b"dog")
    here = EncodedImage(b"here")
    questions = [Question("seer", (Turn("user", (here,)),)), asked_for(host.url("/dog.jpg"), host.url("/cat.jpg"))]
    urls = ImageUrls(Reachable.parse("127.0.0.1"))
    found = anyio.run(urls.with_images, [*questions, questions[1]])
    images = [[image.data for image in question.images] for question in found]
    assert images == [[b"here"], [b"dog", PHOTO], [b"dog", PHOTO]]
    assert sorted(path for _, path in host.asked) == ["/cat.jpg", "/dog.jpg"]


def test_the_images_of_a_request_have_limits_together(host):
    host.answers["/dog.jpg"] = host.answers["/cat.jpg"]
    urls = ImageUrls(Reachable.parse("127.0.0.1"), most_bytes=len(PHOTO) + 10)
    with pytest.raises(Refusal, match="has more than 10 bytes"):
        anyio.run(urls.with_images, [asked_for(host.url("/cat.jpg"), host.url("/dog.jpg"))])
    many = asked_for(*(host.url(f"/{number}") for number in range(MOST_URLS + 1)))
    with pytest.raises(Refusal, match=f"at most {MOST_URLS} are allowed"):
        anyio.run(partial(urls.with_images, [many]))


def test_the_certificate_is_checked_for_the_name_in_the_url(tmp_path, monkeypatch):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    made += ["-keyout", key, "-out", certificate, "-subj", "/CN=photos", "-addext", "subjectAltName=DNS:photos.example"]
    subprocess.run(made, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with ImageHost(tls=tls) as host:
        host.answers["/cat.jpg"] = (200, {}, PHOTO)

        def ask(name, what):
            url = host.url("/cat.jpg", name, "https")
            return what(url, f"{name},127.0.0.1", resolve=resolver(["127.0.0.1"])[0])

        assert ask("photos.example", fetch) == PHOTO
        assert "certificate verify failed" in ask("other.example", refusal)
        assert len(host.asked) == 1


# --- over HTTP ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reaching(server_home, tmp_path_factory):
    """Return a server that may fetch images from this machine."""
    from tests.server.started import Started

    with Started(server_home, tmp_path_factory.mktemp("reaching") / "log", OLPIPE_IMAGE_URLS="127.0.0.1") as started:
        yield started


def native(image):
    message = {"role": "user", "content": "what is it?", "images": [image]}
    options = {"temperature": 0, "num_predict": 4}
    return "/api/chat", {"model": "seer", "stream": False, "messages": [message], "options": options}


def openai(image):
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": image}}]
    asked = {"model": "seer", "messages": [{"role": "user", "content": parts}], "temperature": 0, "max_tokens": 4}
    return "/v1/chat/completions", asked


def anthropic(image):
    source = {"type": "url", "url": image}
    if image.startswith("data:"):
        source = {"type": "base64", "media_type": "image/jpeg", "data": image.partition(",")[2]}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    asked = {"model": "seer", "max_tokens": 4, "temperature": 0, "messages": [{"role": "user", "content": parts}]}
    return "/v1/messages", asked


def count(image):
    return "/v1/messages/count_tokens", anthropic(image)[1]


def describe(image):
    return "/api/describe", {"image": image, "file": "cat.jpg"}


def said(answer):
    """Return what an answer says, without what differs from one request to the next."""
    changing = ("created_at", "created", "id", "prompt_eval_cached_count", "usage")
    return {name: value for name, value in answer.items() if name not in changing and not name.endswith("_duration")}


@pytest.mark.examples(2)
@pytest.mark.parametrize("ask", [native, openai, anthropic, count, describe])
def test_a_url_stands_for_the_image_in_every_api(reaching, host, ask):
    path, by_url = ask(host.url("/cat.jpg"))
    _, in_place = ask("data:image/jpeg;base64," + base64.b64encode(PHOTO).decode())
    status, answer = reaching.post(path, by_url)
    assert status == 200, answer
    assert said(answer) == said(reaching.post(path, in_place)[1])
    assert host.asked != []


@pytest.mark.parametrize("ask", [native, openai, anthropic, count, describe])
def test_a_url_is_refused_in_every_api_where_it_is_not_allowed(server, reaching, host, ask):
    for started, url in ((server, host.url("/cat.jpg")), (reaching, host.url("/cat.jpg", "localhost"))):
        path, body = ask(url)
        status, answer = started.post(path, body)
        assert status == 400, answer
    assert host.asked == []


def test_describe_takes_a_url(reaching, host):
    status, answer = reaching.post("/api/describe", {"url": host.url("/cat.jpg")})
    assert (status, answer["image"]["width"]) == (200, 64)
