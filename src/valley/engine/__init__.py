"""Engines: the same requests answered here, by vLLM or by a remote server."""
