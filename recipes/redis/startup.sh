#!/bin/sh
IFACE=$(ip route show default | awk '{print $5; exit}')
ip link set "$IFACE" up || true
ip addr add 10.71.0.40/24 dev "$IFACE" || true
sed -i -e 's/^bind .*/bind 127.0.0.1 10.71.0.40/' -e 's/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf
cat > /usr/local/bin/redis-compat-metrics <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"redis_compat_up 1\n" if self.path == "/metrics" else b"")
ThreadingHTTPServer(("0.0.0.0", 9121), Metrics).serve_forever()
PYTHON
printf '%s\n' '[Unit]' 'Description=Redis compatibility metrics' '[Service]' 'User=ops' 'Restart=on-failure' 'ExecStart=/usr/bin/python3 /usr/local/bin/redis-compat-metrics' '[Install]' 'WantedBy=multi-user.target' > /etc/systemd/system/redis-compat-metrics.service
systemctl enable --now redis-compat-metrics.service
systemctl is-enabled -q redis-server || systemctl enable redis-server
systemctl reset-failed redis-server; systemctl restart redis-server
