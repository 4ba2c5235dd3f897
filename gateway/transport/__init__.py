"""The outbound HTTP/1.1 client: one connection pool per deployment, and nothing that an inference call does not need.

    origin      where a pool connects, and its TLS
    head        request heads; no control character ever leaves in one
    pool        keep-alive connections: take, wait, open, retry once, give back
    connection  one socket: an exchange at a time, one lazy timer, backpressure
    framing     where an answer begins and ends: llhttp, strict
    response    what a caller reads: pieces, or all up to a limit
    inflate     bounded gzip and deflate, for upstreams that compress although asked not to

Redirects are never followed, proxies from the environment never used, cookies never kept.
"""

from gateway.transport.errors import TransportError
from gateway.transport.head import HeaderError
from gateway.transport.origin import Origin, tls_context
from gateway.transport.pool import Pool
from gateway.transport.response import Response

__all__ = ["HeaderError", "Origin", "Pool", "Response", "TransportError", "tls_context"]
