"""How many requests a caller may make (limits)."""

from __future__ import annotations

import time

from valley.serve.errors import ApiError


class Rate:
    """At most so many requests for each caller, such as "600/minute"."""

    def __init__(self, text: str) -> None:
        from limits import parse
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        try:
            self._limit = parse(text)
        except ValueError:
            raise ValueError(f"--rate-limit {text!r}: write it as 600/minute") from None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, caller: str) -> None:
        """Raises ApiError where there were too many."""
        if not self._limiter.hit(self._limit, caller):
            reset = self._limiter.get_window_stats(self._limit, caller).reset_time
            wait = max(1, round(reset - time.time()))
            problem = f"more requests than {self._limit}: ask again in {wait} s"
            raise ApiError(429, problem, code="rate_limit_exceeded", retry_after=wait)
