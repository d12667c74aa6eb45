"""Between parties: one call, one answer, over pinned mutual TLS or inside a test's memory.

Import `transport.channel` for the interface; `server` and `client` load aiohttp.
"""
