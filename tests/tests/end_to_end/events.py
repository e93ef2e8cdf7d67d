"""Both ends of events, with the libraries that others have: `send` and `receive`."""
import json
import sys
import urllib.error
import urllib.request
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook


def send(url: str, mode: str, secret: str, attributes: str, data: str) -> None:
    """Sends one event and prints the status that came back."""
    event = CloudEvent(json.loads(attributes) | {"datacontenttype": "application/json"}, json.loads(data))
    message = to_binary_event(event) if mode.startswith("binary") else to_structured_event(event)
    headers, body = dict(message.headers), message.body
    if mode.endswith("signed"):
        now = datetime.now(tz=timezone.utc)
        headers |= {
            "webhook-id": event.get_id(),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(event.get_id(), now, body.decode()),
        }
    else:
        headers["Authorization"] = f"Bearer {secret}"
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            print(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refused:
        print(refused.code, refused.read().decode())


def receive(port: str, notes: str, secret: str) -> None:
    """Notes each request a line: what is signed is verified, what is a CloudEvent is read as one."""

    class Endpoint(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            note = {"method": self.command, "path": self.path, "token": self.headers.get("x-token")}
            if "webhook-signature" in self.headers:
                Webhook(secret).verify(body, dict(self.headers))
                note["verified"] = True
            if self.headers.get("content-type") == "application/cloudevents+json":
                event = from_http_event(HTTPMessage({k.lower(): v for k, v in self.headers.items()}, body))
                note |= {"type": event.get_type(), "source": event.get_source(), "data": event.get_data()}
            elif body:
                note["body"] = json.loads(body)
            note["once"] = self.headers.get("idempotency-key") is not None
            with Path(notes).open("a") as file:
                file.write(json.dumps(note) + "\n")
            status = 409 if self.path.endswith("/taken") else 200
            answer = json.dumps({"ticket": 7, "state": "open", "labels": ["a"]}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_):
            pass

    HTTPServer(("127.0.0.1", int(port)), Endpoint).serve_forever()


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])
