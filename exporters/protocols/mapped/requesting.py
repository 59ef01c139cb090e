"""A request of a mapping with its placeholders, files and passwords filled in; and no secret in what is said of it.

Files are read anew for each look. Errors: Unauthorized, for a file that is missing or empty (collector.read_secret), or
that cannot go into a header.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from exporters.collector import Workload, read_secret
from exporters.errors import Malformed, PollError, RateLimited, Unauthorized
from exporters.protocols.mapped.extract import values_at
from exporters.protocols.mapped.mapping import FILE, Request, filled, names_a_file

MAX_TAKEN = 4096
"""Characters of a value that is taken out of an answer. Bearer tokens stay under 2 kB."""


class Secrets:
    """The values of a workload's placeholders for one look, and what of them must not be told."""

    def __init__(self, workload: Workload) -> None:
        self._hidden: set[str] = set()
        spec = workload.spec
        self.plain = {"endpoint": workload.endpoint, "node": workload.node, "workload": workload.name}
        self.plain |= {key: str(value).rstrip("/") for key, value in spec.options.items()}
        credentials = spec.credentials.model_extra or {}
        self.secret = {key.removesuffix(FILE): self.read(path) for key, path in credentials.items()}

    def read(self, path: str) -> str:
        """A credential file. Raises Unauthorized."""
        return self.hide(read_secret(path))

    def hide(self, secret: str) -> str:
        self._hidden |= {secret, quote(secret, safe="")}
        return secret

    def without(self, exc: PollError) -> PollError:
        """The same error with no secret in its sentence."""
        sentence = str(exc)
        for secret in sorted(self._hidden, key=len, reverse=True):
            sentence = sentence.replace(secret, "***")
        if isinstance(exc, RateLimited):
            return RateLimited(sentence, exc.retry_after)
        return type(exc)(sentence)

    def in_url(self, text: str) -> str:
        """With what comes from elsewhere quoted, so that it stays inside its part of the address."""
        return filled(text, {**self.plain, **{key: quote(value, safe="") for key, value in self.secret.items()}})

    def in_text(self, text: str) -> str:
        return filled(text, {**self.plain, **self.secret})

    def in_body(self, body: Any) -> Any:
        """Plain data with its placeholders and its files filled in."""
        if isinstance(body, str):
            return self.in_text(body)
        if isinstance(body, list):
            return [self.in_body(part) for part in body]
        if isinstance(body, dict):
            return dict(self._entry(key, part) for key, part in body.items())
        return body

    def _entry(self, key: str, part: Any) -> tuple[str, Any]:
        return (key.removesuffix(FILE), self.read(part)) if names_a_file(key, part) else (key, self.in_body(part))

    def headers(self, request: Request) -> dict[str, str]:
        found: dict[str, str] = self.in_body(request.headers)
        if request.basic_auth is not None:
            words = f"{request.basic_auth.username}:{self.read(request.basic_auth.password_file)}"
            found["Authorization"] = f"Basic {self.hide(base64.b64encode(words.encode()).decode())}"
        for name, value in found.items():
            if not value.isprintable():
                raise Unauthorized(
                    f"header {name} would have several lines; put the secret alone into its credential file"
                )
        return found

    def take(self, name: str, request: Request, body: Any) -> None:
        """Give the placeholders of later requests their values. Every one is a secret: most are a login's token."""
        for taken, path in request.take.items():
            found = values_at(path, body)
            value = (
                str(found[0]) if found and isinstance(found[0], str | int) and not isinstance(found[0], bool) else ""
            )
            if not 0 < len(value) <= MAX_TAKEN or not value.isprintable() or value in {".", ".."}:
                raise Malformed(f"{name} has no value for {taken} at {path}; was the login accepted?")
            self.secret[taken] = self.hide(value)
