# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets for the notebooks: out of a real S3 store, from a URL and from a file on the control machine."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from seaweedfs import running, secret

BUCKET, KEY = "datasets", "food.tar.gz"


def archive():
    """An archive with one picture, and its checksum as the variable wants it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        picture = tarfile.TarInfo("food11/0_1.jpg")
        picture.size = 3
        picture.mode = 0o644
        tar.addfile(picture, io.BytesIO(b"jpg"))
    data = packed.getvalue()
    return data, f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture(scope="module", name="sources")
def fixture_sources(notebooks, tmp_path_factory):
    """The options of a data set from each source; the store runs on the control machine, where the nodes reach it."""
    data, checksum = archive()
    address = notebooks.gpu.shell("ip route show default").split()[2]
    folder = tmp_path_factory.mktemp("datasets")
    file = folder / KEY
    file.write_bytes(data)
    with running(folder, address=address) as store:
        client = store.client()
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key=KEY, Body=data)
        place = {
            "bucket": BUCKET,
            "key": KEY,
            "endpoint_url": store.url,
            "access_key": "admin-key",
            "secret_key": secret("admin"),
        }
        url = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": KEY})
        yield {
            name: {"checksum": checksum, "path": f"/data/{name}", **source}
            for name, source in {
                "from-s3": {"s3": place, "variable": "FOOD11"},
                "from-url": {"url": url},
                "from-file": {"archive": str(file)},
            }.items()
        }
    # Other tests are about notebooks without data sets.
    deploy(notebooks, {}).succeeded()


def deploy(notebooks, datasets):
    """Run what site.yml does about notebooks, with these data sets."""
    return notebooks.deploy("--tags", "jupyter", variables={"jupyter_datasets": datasets})


def test_every_source_fills_a_volume_once(notebooks, sources):
    foretold = notebooks.deploy("--tags", "jupyter", "--check", variables={"jupyter_datasets": sources}).succeeded()
    assert "The volume from-url would be filled." in foretold.messages
    # An attempt at another archive broke off.
    notebooks.gpu.shell("docker volume create from-file")
    notebooks.gpu.shell("touch /var/lib/docker/volumes/from-file/_data/{.mlops-stack-filling,other.jpg}")
    said = deploy(notebooks, sources).succeeded()
    assert notebooks.inside("ls /data/from-file") == "food11"
    assert secret("admin") not in said.output
    for name in sources:
        assert notebooks.inside(f"cat /data/{name}/food11/0_1.jpg") == "jpg"
        assert "Read-only file system" in notebooks.inside(f"sh -c 'touch /data/{name}/new 2>&1 || true'")
    assert notebooks.inside("sh -c 'echo $FOOD11'") == "/data/from-s3"
    volumes = "/var/lib/docker/volumes"
    assert notebooks.gpu.shell(f"find {volumes} -maxdepth 2 -name '_data*' -printf '%f\n'").split() == ["_data"] * 3
    assert deploy(notebooks, sources).succeeded().changes == 0


def wrong(sources):
    """Data sets that cannot be had, and what has to be said of each after its name."""
    place, none = sources["from-s3"]["s3"], f"sha256:{64 * '0'}"
    return {
        "another-archive": ({"s3": place, "checksum": none}, "the archive has the checksum sha256:"),
        "absent-key": ({"s3": {**place, "key": "absent.zip"}}, "gpu cannot have the archive ("),
        "foreign-key": (
            {"s3": {**place, "access_key": "nobody"}},
            "gpu cannot have the archive (no such bucket",
        ),
        "absent-url": ({"url": f"{place['endpoint_url']}/absent.zip"}, "gpu cannot have the archive (HTTP Error 40"),
    }


@pytest.mark.parametrize("name", ["another-archive", "absent-key", "foreign-key", "absent-url"])
def test_an_archive_that_cannot_be_had_is_one_sentence(notebooks, sources, name):
    given, words = wrong(sources)[name]
    with notebooks.kept():
        said = deploy(notebooks, {name: {"path": "/data", "checksum": sources["from-s3"]["checksum"], **given}})
    assert said.failure.startswith(f"jupyter_datasets.{name}: {words}"), said.failure
    assert secret("admin") not in said.output
