"""What a server may be told, and what it refuses to do."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from valley.media.limits import Limits

#: The module that is an engine process, by the name of the engine.
ENGINES = {"local": "valley.serve.child", "vllm": "valley.serve.vllm_child"}
#: Ports that media may be fetched from.
URL_PORTS = frozenset({80, 443})


@dataclass(frozen=True)
class Settings:
    """`model`: the name that clients use. `api_keys`: without any, everybody who reaches the port
    may ask. `hosts`: names in the Host header besides those of this machine; "*" allows all.
    `rate_limit`: requests for each key, such as "600/minute"; None for no limit. `vllm`: options of
    vLLM's engine by their names in its `EngineArgs`.

    `max_body`: bytes of a request. `max_media`: pictures and clips of one; `max_queue`: requests
    that may be open at once; `max_queue_bytes`: and the bytes of their bodies. `stall_seconds`: an
    engine that has requests and says nothing for so long is ended and started again.
    """

    directory: Path
    model: str = "nano"
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    insecure: bool = False
    engine: str = "local"
    device: str | None = None
    dtype: str | None = None
    vllm: Mapping[str, Any] = field(default_factory=dict)
    allow_urls: bool = False
    media_root: Path | None = None
    rate_limit: str | None = None
    max_body: int = 32 * 2**20
    max_pixels: int = 50_000_000
    max_duration: float = 600.0
    max_media: int = 32
    max_queue: int = 256
    max_queue_bytes: int = 2**30
    body_seconds: float = 60.0
    stall_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not (self.loopback or self.api_keys or self.insecure):
            raise ValueError(
                f"listening on {self.host} without a key lets everybody in: give --api-key, "
                "or --insecure if that is meant"
            )
        if self.engine not in ENGINES:
            raise ValueError(f"unknown engine {self.engine!r}: use {', '.join(ENGINES)}")
        if self.stall_seconds <= 0:
            raise ValueError(f"--stall-seconds must be positive, got {self.stall_seconds}")
        self._check_vllm()
        if any(len(key) < 8 or not key.isascii() for key in self.api_keys):
            raise ValueError("an API key needs at least 8 ASCII characters")
        if self.media_root is not None and not self.media_root.is_dir():
            raise ValueError(f"--media-root {self.media_root} is not a folder")

    def _check_vllm(self) -> None:
        if self.engine != "vllm":
            if self.vllm:
                raise ValueError("--vllm sets options of vLLM: give --engine vllm too")
            return
        if self.device is not None:
            raise ValueError("vLLM runs on the device it is built for: leave out --device")
        if find_spec("vllm") is None:
            raise ValueError("--engine vllm needs vLLM in this environment: see docs/serving.md")

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def limits(self) -> Limits:
        """Bounds on one picture or clip, as the front opens them."""
        return Limits(
            max_bytes=self.max_body,
            max_pixels=self.max_pixels,
            max_duration=self.max_duration,
            allow_urls=self.allow_urls,
            url_ports=URL_PORTS,
            media_root=self.media_root,
        )

    def engine_options(self) -> dict[str, Any]:
        """What the engine process is told. Its media are bytes: it needs no files and no URLs."""
        limits = {
            "max_bytes": self.max_body,
            "max_pixels": self.max_pixels,
            "max_duration": self.max_duration,
        }
        return {
            "directory": str(self.directory),
            "device": self.device,
            "dtype": self.dtype,
            "limits": limits,
            "vllm": dict(self.vllm),
        }


def vllm_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE`, as vLLM's command line names its options; a value is JSON, or else a word."""
    found = {}
    for pair in pairs:
        name, given, value = pair.partition("=")
        if not (name and given):
            raise ValueError(f"--vllm {pair!r} is not NAME=VALUE, such as max-model-len=8192")
        try:
            found[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            found[name.replace("-", "_")] = value
    return found
