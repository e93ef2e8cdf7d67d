"""Outgoing HTTP inside the grant. Redirects are returned, never followed. Needs the request `http`."""

import json

from wit_world.imports import http as host
from wit_world.imports.http import Request, Response, SecretHeader

from .error import Error


def fetch(method, url, headers=(), body=None, secret_headers=(), timeout_ms=None):
    """Sends it. Any status is an answer; raises `denied` outside the grant, `unavailable` without an answer.

    `secret_headers` are (name, template, secret): the host puts the secret in place of `{}`.
    """
    secrets = [SecretHeader(*secret) for secret in secret_headers]
    return host.fetch(Request(method, url, list(headers), secrets, body, timeout_ms))


def is_success(response):
    """Is the status 2xx?"""
    return 200 <= response.status < 300


def json_of(response):
    """The body as JSON; raises `internal` when it is none."""
    try:
        return json.loads(response.body)
    except ValueError as error:
        raise Error.internal("json", f"the answer is no JSON: {error}") from None


def get_json(url):
    """GET, and the body as JSON. Any status but 2xx raises `internal`."""
    response = fetch("GET", url, [("accept", "application/json")])
    if not is_success(response):
        raise Error.internal("http-status", f"GET {url} answered {response.status}")
    return json_of(response)


def header(response, name):
    """The first value of a header, whatever its case; None without one."""
    return next((value for key, value in response.headers if key.lower() == name.lower()), None)
