"""The bytes behind what a request names, within one allowance for all of it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote, urlsplit

from valley.media.limits import reading, refusal
from valley.media.sources import open_binary, scheme_of
from valley.serve.settings import Settings


class Media:
    """Opens the media of one request; together they may have as many bytes as a body."""

    def __init__(self, settings: Settings) -> None:
        self._limits, self._left = settings.limits, settings.max_body

    def read(self, url: str) -> bytes:
        """The content of a data URI, a URL or, below the media folder, a file. Raises MediaError.

        What is named by URL or path is not in the body, and counts all the same.
        """
        scheme = scheme_of(url)
        if scheme == "file":
            url, scheme = unquote(urlsplit(url).path), ""
        if not scheme and self._limits.media_root is None:
            raise refusal(url, "files of the server are not opened: send a data URI")
        limits = replace(self._limits, max_bytes=self._left)
        with reading(url), open_binary(url, limits) as file:
            data = file.read(self._left)
        self._left -= len(data)
        return data
