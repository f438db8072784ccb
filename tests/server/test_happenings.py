"""Events tell that a model is loaded, works, and leaves."""

import http.client
import json
import threading


def test_a_model_is_told_while_it_loads_works_and_leaves(start_server):
    server = start_server()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", "/api/events")
    reply = connection.getresponse()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
    told = models(reply)
    assert next(told) == []

    format_ = {"type": "regex", "pattern": "[a-z ]{500}"}  # so that the answer takes a while
    body = {"model": "photo-mini", "prompt": "the cat", "keep_alive": 0, "format": format_}
    asking = threading.Thread(target=server.lines, args=("/api/generate", body))
    asking.start()
    seen = []
    for loaded in told:
        seen.append(loaded)
        if loaded == []:
            break
    asking.join()
    connection.close()
    assert {model["name"] for loaded in seen for model in loaded} == {"photo-mini:latest"}
    assert any(model["loading"] for loaded in seen for model in loaded)
    assert any(model["active"] for loaded in seen for model in loaded)


def models(reply):
    """Yield the models of each event."""
    for line in reply:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])["models"]
