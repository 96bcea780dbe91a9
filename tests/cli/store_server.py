"""A store's server: GET and PUT of /ac/<hex> and /cas/<hex>, as bazel-remote speaks it, with faults on demand."""
import http.server
import re
import threading


class StoreServer:
    """`url`, `entries` {path: bytes}, `requests` [(verb, path)], `fault`: a function (handler) -> handled?"""

    def __init__(self):
        self.entries, self.requests, self.fault = {}, [], None
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.requests.append(("GET", self.path))
                if owner.fault and owner.fault(self):
                    return
                body = owner.entries.get(self.path)
                self.answer(404 if body is None else 200, body or b"")

            def do_PUT(self):
                owner.requests.append(("PUT", self.path))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if owner.fault and owner.fault(self):
                    return
                known = re.fullmatch(r"/(ac|cas)/[0-9a-f]{64}", self.path)
                if known:
                    owner.entries[self.path] = body
                self.answer(200 if known else 400)

            def answer(self, status, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
