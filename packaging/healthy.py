"""Ask the server of this container for its version. The exit code is 0 when it answers, and 1 otherwise."""

from __future__ import annotations

import json
import ssl
import sys
from http.client import HTTPException, HTTPSConnection
from typing import Any

from olpipe.client.finding import reachable
from olpipe.client.server import Server
from olpipe.errors import OlpipeError
from olpipe.network.addresses import Address
from olpipe.settings import Settings

ANSWERS_WITHIN_S = 5.0
PATH = "/api/version"


def main() -> int:
    """Print the version."""
    try:
        settings = Settings.read()
        address = reachable(settings.host)
        if settings.tls_cert:
            answer = _over_tls(address)
        else:
            with Server(address) as server:
                answer = server.get(PATH, within_s=ANSWERS_WITHIN_S)
    except (OlpipeError, OSError, HTTPException, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(answer["version"])
    return 0


def _over_tls(address: Address) -> dict[str, Any]:
    """Ask without a look at the certificate: it is made for the name under which others find this container."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection(address.name, address.port, timeout=ANSWERS_WITHIN_S, context=context)
    try:
        connection.request("GET", PATH)
        answer: dict[str, Any] = json.load(connection.getresponse())
        return answer
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
