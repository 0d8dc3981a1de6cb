# Stands in for a service's own program and misbehaves: MODE and PORT are set in front of it.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import gzip
import time


class Wrong(BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if MODE == "500":
            self.answer(500, b'{"res":"pong","status":"ok"}')
        elif MODE == "wrong-json":
            self.answer(200, b'{"res":"pang"}')
        elif MODE == "wrong-field":
            self.answer(200, b'{"message":"pong","res":null}')
        elif MODE == "empty":
            self.answer(200, b"")
        elif MODE == "html":
            self.answer(200, b"<html><body>pong, server-ok</body></html>", Content_Type="text/html")
        elif MODE == "hang":
            time.sleep(600)
        elif MODE == "endless":
            self.answer(200, b'{"res":"')
            while True:
                self.wfile.write(b"pong" * 4096)
        elif MODE == "redirects":
            self.answer(302, b"", Location=self.path)
        elif MODE == "gzip-bomb":
            self.answer(200, gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip")
        elif MODE == "garbage":
            self.wfile.write(b"SSH-2.0-not-http\r\n")

    do_POST = do_GET

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", PORT), Wrong).serve_forever()
