"""`from valley2.valley2_chat import Valley2Chat`, as published."""

from valley.valley2_chat import Valley2Chat

__all__ = ["Valley2Chat"]
