# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notebooks on a node with Docker inside, logging to a tracking server on another node."""

from __future__ import annotations

import json

from .conftest import CONFIG, HOSTS, NAME, VARIABLES, WORKSPACE

TOKEN = f"cat {CONFIG}/token"
GET = """\
import urllib.error, urllib.request
request = urllib.request.Request("http://127.0.0.1:8888/api/contents", headers={{"Authorization": "token {token}"}})
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_check_mode_on_bare_machines_ends_well(notebooks):
    assert notebooks.checked.status == 0, notebooks.checked.failures
    assert notebooks.checked.changed["gpu"] > 0


def test_a_second_run_changes_nothing(notebooks):
    assert notebooks.first.changed["gpu"] > 0
    again = notebooks.deploy()
    assert (again.status, again.changed) == (0, {"localhost": 0, "gpu": 0, "ml": 0}), again.output


def test_check_mode_says_that_nothing_would_change(notebooks):
    said = notebooks.deploy("--check", "--diff")
    assert (said.status, said.changed) == (0, {"localhost": 0, "gpu": 0, "ml": 0}), said.output


def test_only_who_has_the_token_gets_in_and_only_from_the_host_itself(notebooks):
    without = notebooks.gpu.shell("python3 - <<'END'\n" + GET.format(token="wrong") + "END")
    with_it = notebooks.gpu.shell("python3 - <<'END'\n" + GET.format(token=notebooks.gpu.shell(TOKEN)) + "END")
    assert (without, with_it) == ("403", "200")
    assert notebooks.gpu.shell("ss -ltnH 'sport = :8888'").split()[3] == "127.0.0.1:8888"


def test_secrets_are_in_no_argument_and_no_environment(notebooks):
    token = notebooks.gpu.shell(TOKEN)
    password = notebooks.gpu.shell(f"sed -n 's/^mlflow_tracking_password = //p' {CONFIG}/credentials")
    assert len(token) > 20
    assert len(password) > 20
    inspected = notebooks.gpu.shell(
        f"docker inspect {NAME}; docker history --no-trunc $(docker inspect -f '{{{{.Image}}}}' {NAME})"
    )
    logged = notebooks.gpu.shell(f"docker logs {NAME} 2>&1; journalctl --output=export | tr -cd '[:print:]\\n'")
    running = notebooks.gpu.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    for secret in (token, password):
        assert secret not in inspected + logged + running
    assert notebooks.gpu.shell(f"stat --format='%U %a' {CONFIG}/token {CONFIG}/credentials") == "ops 400\nops 400"


def test_the_container_has_few_rights(notebooks):
    found = notebooks.container()
    assert found["Config"]["User"] == "1000:1000"
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert not any(mount["Source"].endswith("docker.sock") for mount in found["Mounts"])


def test_a_kernel_need_not_compile_what_it_imports(notebooks):
    look = "import mlflow, sklearn, pathlib; print([pathlib.Path(m.__cached__).exists() for m in (mlflow, sklearn)])"
    assert notebooks.inside(f"python3 -c '{look}'") == "[True, True]"


def test_the_sample_notebook_logs_a_run(notebooks):
    before = notebooks.runs()
    notebooks.inside("jupyter nbconvert --to notebook --execute --output-dir /tmp --output done first_run.ipynb")
    executed = json.loads(notebooks.inside("cat /tmp/done.ipynb"))
    said = [text for cell in executed["cells"] for output in cell.get("outputs", []) for text in output.get("text", [])]
    assert any(notebooks.ml.address in line for line in said), said
    assert len(notebooks.runs()) == len(before) + 1


def test_what_a_user_made_of_the_samples_stays(notebooks):
    notebooks.gpu.shell(f"echo '# mine' >> {WORKSPACE}/first_run.py")
    again = notebooks.deploy("--tags", "jupyter")
    assert (again.status, again.changed["gpu"]) == (0, 0), again.output
    assert notebooks.gpu.shell(f"tail -n 1 {WORKSPACE}/first_run.py") == "# mine"


def test_a_new_token_counts_after_one_restart(notebooks):
    before = notebooks.container()
    (notebooks.secrets / "jupyter_token").write_text("another-token-for-the-notebooks\n")
    changed = notebooks.deploy("--tags", "jupyter")
    assert changed.status == 0, changed.output
    after = notebooks.container()
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]
    said = notebooks.gpu.shell("python3 - <<'END'\n" + GET.format(token="another-token-for-the-notebooks") + "END")
    assert said == "200"
    again = notebooks.deploy("--tags", "jupyter")
    assert (again.status, again.changed["gpu"]) == (0, 0), again.output


def test_the_url_is_told(notebooks):
    said = notebooks.run(HOSTS, VARIABLES, playbook="jupyter_info.yml")
    assert said.status == 0, said.failures
    token = notebooks.gpu.shell(TOKEN)
    assert f"http://localhost:8888/lab?token={token}" in said.output
    assert "ssh -N -L 8888:localhost:8888 ops@" in said.output
