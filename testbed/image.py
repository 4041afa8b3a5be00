# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Base images of the testbed's nodes, made from a distribution's packages alone: no image registry is asked.

A node's image is what a company's bare machine has: systemd, sshd, python3, sudo, an ordinary user, the company's
certificate authorities (here: those of this machine), and no package lists.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

import host

SUITES = ("bookworm", "trixie")
USER = "ops"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "python3-apt",
    "ca-certificates",
    "iproute2",
    "procps",
    "sudo",
    "openssh-server",
)
BUNDLE = pathlib.Path("etc/ssl/certs/ca-certificates.crt")
# Every node makes host keys of its own when it first boots; an image that carried some would share them.
HOST_KEYS_UNIT = """\
[Unit]
Description=Make this machine's SSH host keys
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
"""


def ensure_image(suite: str) -> str:
    """Return the image's name for a suite; make it when this clone has none of the same recipe."""
    name = f"{host.PREFIX}-node:{suite}-{recipe_hash(suite)}"
    if host.docker("image", "inspect", name, check=False).returncode == 0:
        return name
    with host.lock("image"):
        if host.docker("image", "inspect", name, check=False).returncode == 0:
            return name
        build(suite, name)
        forget_older(suite, name)
    return name


def recipe_hash(suite: str) -> str:
    """Return a hash over all that an image is made of, so that a changed recipe is a new image."""
    digest = hashlib.sha256()
    own = pathlib.Path(__file__).read_bytes()
    for part in (own, suite.encode(), mirror().encode(), read_bundle(pathlib.Path("/"))):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def mirror() -> str:
    """Return the package mirror the user chose, or nothing: then mmdebstrap takes the distribution's own."""
    return os.environ.get("TESTBED_MIRROR", "")


def read_bundle(root: pathlib.Path) -> bytes:
    """Return a system's certificate bundle; nothing where it has none."""
    try:
        return (root / BUNDLE).read_bytes()
    except FileNotFoundError:
        return b""


def build(suite: str, name: str) -> None:
    """Make a base image with mmdebstrap and import it."""
    sweep_leftovers()
    host.install_missing({"mmdebstrap": ["mmdebstrap", "debian-archive-keyring"]})
    host.say(f"making the base image of Debian {suite} from its packages (once, about 30 s)")
    hook = f'{shlex.quote(sys.executable)} {shlex.quote(__file__)} "$1"'
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--customize-hook={hook}"]
    command += apt_proxy()
    log = host.STATE / f"image-{suite}.log"
    # Not below the clone: apt's unprivileged user has to reach it, and a home folder may be closed to others.
    with tempfile.TemporaryDirectory(prefix=f"{host.PREFIX}-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        pathlib.Path(folder).chmod(0o755)
        archive = pathlib.Path(folder) / "base.tar"
        command += [suite, str(archive), *filter(None, [mirror()])]
        host.run_long(
            f"base image of {suite}", host.as_root(["env", f"TMPDIR={folder}", *command]), log, dict(os.environ)
        )
        with archive.open("rb") as stream:
            host.docker("import", "-c", 'CMD ["/sbin/init"]', "-", name, stdin=stream)


def apt_proxy() -> list[str]:
    """Return the options that hand this machine's apt proxy on to the image."""
    value = host.run(["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], check=False).stdout.strip()
    proxy = shlex.split(value)[0].partition("=")[2] if value else ""
    return [f'--aptopt=Acquire::http::Proxy "{proxy}"'] if proxy else []


def forget_older(suite: str, name: str) -> None:
    """Remove this clone's images of older recipes, unless a node still runs on one."""
    listed = host.docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"{host.PREFIX}-node").stdout.split()
    for other in listed:
        if other != name and other.startswith(f"{host.PREFIX}-node:{suite}-"):
            host.docker("rmi", other, check=False)


def sweep_leftovers() -> None:
    """Remove the build folders that killed builds of this clone left."""
    for folder in pathlib.Path("/var/tmp").glob(f"{host.PREFIX}-*"):
        host.run(host.as_root(["rm", "-rf", "--one-file-system", str(folder)]))


def customise(root: pathlib.Path) -> None:
    """Turn a new root folder into a node's: user, certificate authorities, no host keys. Runs inside mmdebstrap."""
    inside = ["chroot", str(root)]
    subprocess.run([*inside, "useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
    sudoers = root / "etc/sudoers.d" / USER
    sudoers.write_text(f"{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n", encoding="utf-8")
    sudoers.chmod(0o440)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/systemd/system/host-keys.service").write_text(HOST_KEYS_UNIT, encoding="utf-8")
    subprocess.run([*inside, "systemctl", "enable", "host-keys.service"], check=True)
    known = set(split_bundle(read_bundle(root)))
    extra = [block for block in split_bundle(read_bundle(pathlib.Path("/"))) if block not in known]
    folder = root / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True, exist_ok=True)
    for number, block in enumerate(extra):
        (folder / f"testbed-{number:03}.crt").write_bytes(block)
    if extra:
        subprocess.run([*inside, "update-ca-certificates"], check=True)


def split_bundle(bundle: bytes) -> list[bytes]:
    """Return a bundle's certificates one by one."""
    end = b"-----END CERTIFICATE-----\n"
    blocks = [block[block.index(b"-----BEGIN") :] + end for block in bundle.split(end) if b"-----BEGIN" in block]
    return list(dict.fromkeys(blocks))


if __name__ == "__main__":
    customise(pathlib.Path(sys.argv[1]))
