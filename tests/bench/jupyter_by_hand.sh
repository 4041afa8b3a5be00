#!/usr/bin/env bash
# The floor of the benchmark jupyter_first: what an expert in a hurry would type on a bare Debian 13 machine, which ssh
# reaches as gpu, to build the same image and run Jupyter in it. Nothing is checked, limited or tried out.
#
#     jupyter_by_hand.sh FOLDER TRACKING_URI BASE
#
# FOLDER holds ssh.config, and client.env with the user's password; BASE is an image in a registry that speaks HTTP.
set -euo pipefail

folder=$1 uri=$2 base=$3
clone=$(cd "$(dirname "$0")/../.." && pwd)
files=$clone/roles/jupyter/files

on() { ssh -F "$folder/ssh.config" "$1" sudo bash -eu -s; }

. "$folder/client.env"
on gpu <<SCRIPT
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends docker.io docker-cli >/dev/null
mkdir -p /etc/systemd/system/docker.service.d
printf '[Service]\nEnvironment=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1\n' >/etc/systemd/system/docker.service.d/testbed.conf
echo '{"insecure-registries": ["${base%%/*}"]}' >/etc/docker/daemon.json
systemctl daemon-reload
systemctl restart docker
mkdir -p /root/image/certificates /home/ops/work
cat >/root/image/Dockerfile <<'FILE'
$(cat "$files/image/Dockerfile")
FILE
cat >/root/image/requirements.txt <<'FILE'
$(cat "$files/requirements-3.17.2.txt")
FILE
cat >/root/image/uv.txt <<'FILE'
$(cat "$clone/roles/common/files/uv.txt")
FILE
printf 'scikit-learn\nmatplotlib\n' >/root/image/packages.txt
chown ops:ops /home/ops/work
DOCKER_BUILDKIT=0 docker build --quiet --tag notebook --build-arg BASE=$base /root/image >/dev/null
docker run --detach --name jupyter --publish 127.0.0.1:8888:8888 --shm-size 2G \
    --volume /home/ops/work:/home/jovyan/work --env MLFLOW_TRACKING_URI=$uri \
    --env MLFLOW_TRACKING_USERNAME=$MLFLOW_TRACKING_USERNAME \
    --env MLFLOW_TRACKING_PASSWORD=$MLFLOW_TRACKING_PASSWORD notebook >/dev/null
docker exec jupyter python3 -c 'import mlflow; mlflow.start_run(); mlflow.log_metric("by_hand", 1); mlflow.end_run()'
until python3 -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:8888/api")' 2>/dev/null; do sleep 0.3; done
SCRIPT
