# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run `ansible-test sanity` on a copy of the collection that lies where ansible-test wants one.

.venv/bin/python tests/sanity.py [ARGUMENTS OF ansible-test sanity]
"""

from __future__ import annotations

import configparser
import os
import pathlib
import shutil
import subprocess
import sys

CLONE = pathlib.Path(__file__).resolve().parent.parent
BUILD = CLONE / ".build" / "sanity"
HOME = BUILD / "home"
COPY = BUILD / "ansible_collections" / "mlops" / "stack"
# The pip that ansible-test 2.19 puts into its virtual environments.
PIP = """\
pip==24.2 \\
    --hash=sha256:2cd581cf58ab7fcfca4ce8efa6dcacd0de5bf8d0a3eb9ec927e07405f4d9e2a2 \\
    --hash=sha256:5b5e490b5e9cb275c879595064adce9ebd31b854e3e803740b72f9ccf34a45b8
"""
# ansible-test downloads a script of this name from a server of its project, which a machine that reaches nothing but
# package registries cannot. So it always finds this one: it installs the same pip, by its hash, from the package index.
GET_PIP = """\
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", "--require-hashes", "--quiet", "-r", {lock!r}], check=True)
"""
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def main() -> int:
    """Copy, prepare, run, and return ansible-test's exit status."""
    copy_collection()
    prepare_home()
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    tools = pathlib.Path(sys.executable).parent
    command = [str(tools / "ansible-test"), "sanity", "--venv", "--python", python, "--color", "no", *sys.argv[1:]]
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "HOME": str(HOME), "PATH": path, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=COPY, env=environment, check=False).returncode


def copy_collection() -> None:
    """Copy what git tracks, or would track, and nothing that the clone's tools made."""
    shutil.rmtree(BUILD / "ansible_collections", ignore_errors=True)
    for name in list_files():
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CLONE / name, target, follow_symlinks=False)
    # ansible-test asks git for the files, and would ask about the clone, which ignores this folder.
    subprocess.run(["git", "init", "--quiet"], cwd=COPY, check=True)


def list_files() -> list[str]:
    """Return the clone's own files by their relative paths."""
    command = ["git", "-c", f"safe.directory={CLONE}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CLONE, check=True, capture_output=True, text=True).stdout
    # A file may be known to git and removed from the folder.
    return [name for name in listed.split("\0") if name and (CLONE / name).is_file()]


def prepare_home() -> None:
    """Make a home folder, because ansible-test hands HOME on and little else of the environment."""
    lock = HOME / "pip.txt"
    script = HOME / ".ansible" / "test" / "cache" / "get_pip_24_2.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(PIP, encoding="utf-8")
    script.write_text(GET_PIP.format(lock=str(lock)), encoding="utf-8")
    settings = HOME / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    with settings.open("w", encoding="utf-8") as stream:
        pip_settings().write(stream)


def pip_settings() -> configparser.RawConfigParser:
    """Return the user's own pip settings, with those that came by environment variables."""
    parser = configparser.RawConfigParser()
    files = [pathlib.Path.home() / folder / "pip.conf" for folder in (".pip", ".config/pip")]
    parser.read([*files, os.environ.get("PIP_CONFIG_FILE", "")])
    if not parser.has_section("global"):
        parser.add_section("global")
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"):
        if os.environ.get(variable):
            parser.set("global", variable.removeprefix("PIP_").lower().replace("_", "-"), os.environ[variable])
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        parser.set("global", "proxy", proxy)
    bundle = os.environ.get("SSL_CERT_FILE") or (str(CERTIFICATES) if CERTIFICATES.exists() else "")
    if bundle and not parser.has_option("global", "cert"):
        parser.set("global", "cert", bundle)
    return parser


if __name__ == "__main__":
    sys.exit(main())
