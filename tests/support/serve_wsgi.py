"""Serves an OpenStack service's WSGI application on the loopback address.

A program of the `services` environment (it imports nothing of Cairn):
`serve_wsgi.py PORT MODULE`, where MODULE has an attribute `application`, as in `keystone.wsgi.api`.
"""

from __future__ import annotations

import importlib
import logging
import sys

from werkzeug.serving import WSGIRequestHandler, run_simple


class KeepAlive(WSGIRequestHandler):
    """Connections stay open between requests, as behind a real web server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Method, path and status; never a header or a body, which hold tokens."""
        logging.getLogger("requests").info("%s %s %s", self.command, self.path, code)


def main(port: str, module: str) -> None:
    """Serve until terminated."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    application = importlib.import_module(module).application
    run_simple("127.0.0.1", int(port), application, threaded=True, request_handler=KeepAlive)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    del sys.argv[1:]  # the services read their own options from there
    main(*arguments)
