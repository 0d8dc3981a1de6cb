#!/bin/sh
IFACE=$(ip route show default | awk '{print $5; exit}')
ip link set "$IFACE" up || true
ip addr add 10.71.0.20/24 dev "$IFACE" || true
mkdir -p /etc/immich
printf '%s\n' MACHINE_LEARNING_PORT=3003 MACHINE_LEARNING_CACHE_FOLDER=/var/lib/immich-ml/cache > /etc/immich/ml.env
install -d -m 0750 -o ops -g ops /var/lib/immich-ml/cache /var/lib/immich-ml/models
echo 'Warning: real ML inference requires CLIP/face-recognition model weights and CUDA or CPU-vectorized ONNX runtime at deployment time.' > /root/immich-ml-notes.md
cat > /usr/local/bin/immich-ml-compat <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
class Compat(BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())
    def do_GET(self):
        self.answer(*{"/ping": (200, '{"status":"ok"}'), "/metrics": (200, "immich_ml_compat_up 1\n")}.get(self.path, (404, "{}")))
    def do_POST(self):
        json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.answer(*((200, '{"prediction":"compat-stub","confidence":0.0}') if self.path == "/predict" else (404, "{}")))
ThreadingHTTPServer(("0.0.0.0", 3003), Compat).serve_forever()
PYTHON
printf '%s\n' '[Unit]' 'Description=Immich ML compatibility stub' '[Service]' 'User=ops' 'Restart=on-failure' 'ExecStart=/usr/bin/python3 /usr/local/bin/immich-ml-compat' '[Install]' 'WantedBy=multi-user.target' > /etc/systemd/system/immich-ml-compat.service
systemctl enable --now immich-ml-compat.service
