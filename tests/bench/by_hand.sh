#!/usr/bin/env bash
# The floor of the benchmark first_run: what an expert in a hurry would type on three bare Debian 13 machines, which
# ssh reaches as db1, store1 and ml1, to have the same versions of the same services. All three machines are worked on
# at once; nothing is checked, hardened or asked a second time.
#
#     by_hand.sh FOLDER DB_ADDRESS STORE_ADDRESS ML_ADDRESS
#
# FOLDER holds ssh.config; the three variables of a client are written to FOLDER/client.env.
set -euo pipefail

folder=$1 db=$2 store=$3 ml=$4
clone=$(cd "$(dirname "$0")/../.." && pwd)
uv_lock=$clone/roles/common/files/uv.txt
weed_lock=$clone/roles/seaweedfs_cluster/files/requirements-4.48.txt
mlflow_lock=$clone/roles/mlflow_server/files/requirements-3.17.2.txt

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
db_password=$(secret) s3_key=$(secret) admin_password=$(secret) session_key=$(secret)

# The script on standard input, as root on a node.
on() { ssh -F "$folder/ssh.config" "$1" sudo bash -eu -s; }

done_with() { echo "$1: ${SECONDS} s"; }

# What puts a locked environment below /opt, with the uv that the roles use.
environment() {
    cat <<SCRIPT
export DEBIAN_FRONTEND=noninteractive
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
umask 022
cat >/root/uv.txt <<'LOCK'
$(cat "$uv_lock")
LOCK
cat >/root/lock.txt <<'LOCK'
$(cat "$2")
LOCK
apt-get -qq update
apt-get -qq install --no-install-recommends python3-pip-whl >/dev/null
python3 "\$(echo /usr/share/python-wheels/pip-*.whl)/pip" install --quiet --root-user-action=ignore --no-deps --require-hashes \
    --target /opt/uv -r /root/uv.txt
/opt/uv/bin/uv venv --quiet --python /usr/bin/python3 /opt/$1
VIRTUAL_ENV=/opt/$1 /opt/uv/bin/uv pip install --quiet --require-hashes -r /root/lock.txt
SCRIPT
}

database() {
    on db1 <<SCRIPT
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends postgresql-17 >/dev/null
cat >/etc/postgresql/17/main/conf.d/stack.conf <<'CONF'
listen_addresses = '$db, localhost'
shared_buffers = '512MB'
effective_cache_size = '1536MB'
work_mem = '8MB'
maintenance_work_mem = '128MB'
max_connections = 60
CONF
echo 'hostssl mlflow mlflow $ml/32 scram-sha-256' >>/etc/postgresql/17/main/pg_hba.conf
systemctl restart postgresql@17-main
cd /
runuser -u postgres -- psql --quiet <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD '$db_password';
CREATE DATABASE mlflow OWNER mlflow ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
SQL
SCRIPT
    done_with database
}

objects() {
    { environment weed "$weed_lock"; cat <<SCRIPT
useradd --system seaweedfs
install -d -o seaweedfs -g seaweedfs /var/lib/seaweedfs/{master,volume,filer}
cat >/etc/seaweedfs-s3.json <<'JSON'
{"identities": [{"name": "admin", "credentials": [{"accessKey": "admin", "secretKey": "$s3_key"}],
                 "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
JSON
unit() {
    name=\$1
    shift
    systemd-run --quiet --unit="seaweedfs-\$name" --uid=seaweedfs --gid=seaweedfs /opt/weed/bin/weed "\$@"
}
at='-ip=$store -ip.bind=$store'
unit master master \$at -mdir=/var/lib/seaweedfs/master -peers=none -telemetry=false -volumeSizeLimitMB=1024
unit volume volume \$at -master=$store:9333 -dir=/var/lib/seaweedfs/volume -max=0 -minFreeSpace=1
unit filer filer \$at -master=$store:9333 -defaultStoreDir=/var/lib/seaweedfs/filer
unit s3 s3 -ip.bind=$store -filer=$store:8888 -config=/etc/seaweedfs-s3.json -port.iceberg=0 -port.lance=0
AWS_ACCESS_KEY_ID=admin AWS_SECRET_ACCESS_KEY=$s3_key /opt/weed/bin/python - <<'PYTHON'
import time

import boto3
import botocore.exceptions

client = boto3.client("s3", endpoint_url="http://$store:8333", region_name="us-east-1")
for _attempt in range(300):
    try:
        client.create_bucket(Bucket="mlflow")
        break
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        time.sleep(0.2)
else:
    raise SystemExit("SeaweedFS did not come up.")
PYTHON
SCRIPT
    } | on store1
    done_with objects
}

packages() {
    environment mlflow "$mlflow_lock" | on ml1
    done_with packages
}

server() {
    on ml1 <<SCRIPT
useradd --system --home-dir /var/lib/mlflow mlflow
install -d -o mlflow -g mlflow /var/lib/mlflow
uri='postgresql+psycopg2://mlflow:$db_password@$db/mlflow?sslmode=require'
cat >/etc/mlflow-auth.ini <<INI
[mlflow]
default_permission = READ
database_uri = \$uri
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
INI
cat >/etc/mlflow.env <<ENV
HOME=/var/lib/mlflow
MLFLOW_BACKEND_STORE_URI=\$uri
MLFLOW_ARTIFACTS_DESTINATION=s3://mlflow
MLFLOW_HOST=0.0.0.0
MLFLOW_WORKERS=\$(nproc)
MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
MLFLOW_DISABLE_TELEMETRY=true
MLFLOW_AUTH_CONFIG_PATH=/etc/mlflow-auth.ini
MLFLOW_AUTH_ADMIN_PASSWORD=$admin_password
MLFLOW_FLASK_SERVER_SECRET_KEY=$session_key
MLFLOW_S3_ENDPOINT_URL=http://$store:8333
MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE=path
AWS_ACCESS_KEY_ID=admin
AWS_SECRET_ACCESS_KEY=$s3_key
AWS_DEFAULT_REGION=us-east-1
ENV
systemd-run --quiet --unit=mlflow --uid=mlflow --gid=mlflow --property=EnvironmentFile=/etc/mlflow.env \
    --property=Restart=always --working-directory=/var/lib/mlflow /opt/mlflow/bin/mlflow server --app-name=basic-auth
until python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:5000/health")' 2>/dev/null; do sleep 0.3; done
SCRIPT
}

database &
database=$!
objects &
objects=$!
packages
wait $database
wait $objects
server
done_with server
umask 077
cat >"$folder/client.env" <<ENV
export MLFLOW_TRACKING_URI=http://$ml:5000
export MLFLOW_TRACKING_USERNAME=admin
export MLFLOW_TRACKING_PASSWORD=$admin_password
ENV
