# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Python environment should be, what has to be done for it, and what a failed tool's words mean. Pure."""

from __future__ import annotations

import hashlib
import os.path
import re
from urllib.parse import quote, unquote, urlsplit

MARKER = ".complete"
BUILDING = ".building"
SYSTEM_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
DROPPED_VARIABLES = ("PIP_", "UV_", "PYTHON", "VIRTUAL_ENV", "CONDA_")

_WARM = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)"


class Invalid(Exception):
    """An option's value that cannot work."""


def meaningful_lines(requirements):
    """A requirements text without its comments, blank lines and outer white space."""
    lines = (line.strip() for line in requirements.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def fingerprint(requirements):
    """The SHA-256 of what a requirements text asks for; comments do not count."""
    return hashlib.sha256("\n".join(meaningful_lines(requirements)).encode("utf-8")).hexdigest()


def pinned_version(requirements, name):
    """The version that a locked text pins a package to, or None."""
    pattern = re.compile(r"%s\s*==\s*([^\s;\\]+)" % re.escape(name), re.IGNORECASE)
    for line in meaningful_lines(requirements):
        match = pattern.match(line)
        if match:
            return match.group(1)
    return None


def uv_version(requirements, wanted):
    """The version of uv that uv_requirements pins; it must be the wanted one, where one is named."""
    pinned = pinned_version(requirements, "uv")
    if pinned is None:
        raise Invalid("uv_requirements must pin uv with a line like uv==1.2.3 and its hashes; it does not.")
    if wanted is not None and wanted != pinned:
        raise Invalid("uv_version is %s, but uv_requirements pins uv to %s; make them the same." % (wanted, pinned))
    if not re.match(r"[0-9][0-9A-Za-z.]*$", pinned):
        raise Invalid("uv_requirements pins uv to %s, which is not a version." % pinned)
    return pinned


def check_folder(option, path):
    """A folder that may be created and wiped: absolute, normal, and at least two levels deep."""
    if not path.startswith("/") or path.startswith("//") or os.path.normpath(path) != path or path.count("/") < 2:
        raise Invalid(
            "%s must be an absolute path, at least two folders deep and without '..'; it is %s." % (option, path)
        )


def check_requirements(requirements):
    """A requirements text that names at least one package, each with a hash."""
    lines = meaningful_lines(requirements)
    if not lines:
        raise Invalid("requirements is empty; give the text of a locked requirements file.")
    if "--hash=" not in requirements:
        raise Invalid("requirements carries no hashes; lock it, for example with uv pip compile --generate-hashes.")


def decide(wanted, current):
    """Return (action, reason): action is none, build (nothing of worth is there) or rebuild (another one is)."""
    kind = current["kind"]
    if kind == "foreign":
        raise Invalid(
            "path %s holds files that this module did not make; move them away or choose another path." % wanted["path"]
        )
    if kind == "absent":
        return "build", "it does not exist"
    if kind == "leftover":
        return "build", "an earlier build was interrupted"
    for key, label in (("requirements_sha256", "requirements"), ("interpreter", "Python interpreter")):
        if current["marker"].get(key) != wanted["marker"][key]:
            return "rebuild", "its %s differ" % label if label == "requirements" else "its %s differs" % label
    return "none", "it is complete"


def describe(path, kind, marker):
    """The lines of a diff that tell what an environment is."""
    lines = ["path: %s" % path, "state: %s" % {"foreign": "unknown files"}.get(kind, kind)]
    if kind == "complete":
        lines += ["%s: %s" % (key, marker.get(key, "unknown")) for key in ("interpreter", "requirements_sha256")]
    return "\n".join(lines) + "\n"


def network_environment(index_url, ca_bundle, proxies):
    """The variables that lead pip and uv to the package index; credentials travel here and nowhere else."""
    env = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_RETRIES": "2",
        "PIP_TIMEOUT": "15",
        "PIP_NO_CACHE_DIR": "1",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "UV_CONCURRENT_DOWNLOADS": "16",
        "UV_HTTP_RETRIES": "2",
        "UV_HTTP_TIMEOUT": "30",
        "UV_HTTP_CONNECT_TIMEOUT": "10",
        "UV_SYSTEM_CERTS": "true",
        "UV_NATIVE_TLS": "true",
        "NO_COLOR": "1",
    }
    if index_url:
        env.update(UV_DEFAULT_INDEX=index_url, PIP_INDEX_URL=index_url)
    if ca_bundle:
        env.update(SSL_CERT_FILE=ca_bundle, PIP_CERT=ca_bundle)
    for key, value in (proxies or {}).items():
        if value:
            name = key if key == "no_proxy" else "%s_proxy" % key
            env[name] = env[name.upper()] = value
    return env


def secrets_of(urls):
    """The parts of URLs that no message may carry: user and password, as written and as decoded."""
    found = set()
    for url in urls:
        parts = urlsplit(url or "")
        if parts.password:
            plain = unquote(parts.password)
            found.update({parts.netloc.rpartition("@")[0], parts.password, plain, quote(plain, safe="")})
        elif parts.username:
            found.add(parts.username)
    return sorted(found, key=len, reverse=True)


def scrub(text, secrets):
    """The text without the secrets and without the user part of any URL."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return re.sub(r"(https?://)[^/@\s]+@", r"\1***@", text)


def host_of(url):
    """Host and port of a URL, without its credentials."""
    return urlsplit(url).netloc.rpartition("@")[2]


def pip_argv(python, wheel, requirements_file, target):
    return [
        python,
        "-I",
        "%s/pip" % wheel,
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
        target,
        "-r",
        requirements_file,
    ]


def venv_argv(uv, python, path):
    return [uv, "venv", "--quiet", "--allow-existing", "--python", python, path]


def install_argv(uv, path, requirements_file):
    return [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        "%s/bin/python" % path,
        "--require-hashes",
        "--only-binary",
        ":all:",
        "-r",
        requirements_file,
    ]


def warm_argv(path, modules):
    return ["%s/bin/python" % path, "-I", "-c", _WARM] + list(modules)


# kind, what the tool says, our sentence, whether the same call may succeed later. The first match counts.
_MEANINGS = (
    (
        "disk_full",
        r"No space left on device|os error 28|Disk quota exceeded|os error 122",
        "the disk that holds {path} is full; free some space or choose another path.",
        True,
    ),
    (
        "hash",
        r"Hash mismatch for `(?P<what>[^`]+)`",
        "{what} as downloaded from {index} does not have the hash that the lock names; renew the lock, or find out who"
        " changed the file.",
        False,
    ),
    (
        "hash",
        r"DO NOT MATCH THE HASHES[^\n]*\n\s*(?P<what>\S+)",
        "{what} as downloaded from {index} does not have the hash that the lock names; renew the lock, or find out who"
        " changed the file.",
        False,
    ),
    (
        "tls",
        r"invalid peer certificate: (?P<what>[A-Za-z]+)|(?i:certificate verify failed)(?:: (?P<more>[^(\n]+))?",
        "{index} shows a certificate that this host does not trust ({what}); set ca_bundle to the file of the"
        " authority that signed it.",
        False,
    ),
    (
        "credentials",
        r"(?P<what>40[137] [A-Z][a-z]+|HTTP status client error \(40[137] [A-Za-z ]+\))",
        "{index} refuses the download ({what}); check the user and password in index_url or proxies.",
        False,
    ),
    (
        "unreachable",
        r"(?P<what>Connection refused|Connection reset|Connection timed out|No route to host"
        r"|Network is unreachable|Name or service not known|Temporary failure in name resolution"
        r"|No address associated with hostname|operation timed out|timed out|Connection aborted)",
        "{index} cannot be reached from this host ({what}); check index_url, proxies and the network.",
        True,
    ),
    (
        "unreachable",
        r"(?P<what>HTTP status server error \([^)]*\)|50[0234] [A-Z][A-Za-z ]+)",
        "{index} does not serve downloads now ({what}); try again later.",
        True,
    ),
    (
        "unreachable",
        r"client error \(Connect\)|Failed to fetch|NewConnectionError|MaxRetryError|Request failed after",
        "{index} cannot be reached from this host; check index_url, proxies and the network.",
        True,
    ),
    (
        "no_wheel",
        r"Because (?:only )?(?P<what>[A-Za-z0-9._-]+==\S+) has no (?:usable )?wheels",
        "{what} has no wheel for {python} on this machine; use a Python that the lock was made for.",
        False,
    ),
    (
        "no_version",
        r"there is no version of (?P<what>[A-Za-z0-9._=-]+)",
        "{index} does not have {what}; renew the lock or choose another index_url.",
        False,
    ),
    (
        "no_version",
        r"Because (?P<what>[A-Za-z0-9._-]+) was not found in the package registry",
        "{index} does not have the package {what}; check index_url.",
        False,
    ),
    (
        "no_version",
        r"No matching distribution found for (?P<what>[A-Za-z0-9._=-]+)",
        "{index} has no {what} for {python} on this machine; renew the lock or check index_url.",
        False,
    ),
    (
        "lock",
        r"no trusted hash was provided for: `(?P<what>[^`]+)`",
        "the lock is not complete: {what} is needed, and is not in it; make the lock again.",
        False,
    ),
    (
        "lock",
        r"must have a hash, but none were provided for: (?P<what>\S+)",
        "the lock names no hash for {what}; make it with hashes.",
        False,
    ),
    (
        "lock",
        r"(?P<what>Couldn't parse requirement[^\n]*|Invalid requirement[^\n]*)",
        "the lock cannot be read: {what}",
        False,
    ),
)


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def explain(text, path, python, index_url=None):
    """Return (kind, sentence, safe_to_retry) for what pip or uv said when it failed."""
    if index_url:
        index = "the package index %s" % host_of(index_url)
    else:
        fetched = re.search(r"https?://(?:[^/@\s]+@)?([^/\s'\"`]+)/", text)
        index = "the package index %s" % fetched.group(1) if fetched else "the package index"
    for kind, pattern, sentence, retry in _MEANINGS:
        match = re.search(pattern, text)
        if match:
            groups = match.groupdict()
            what = (groups.get("what") or groups.get("more") or "unknown authority").strip()
            return kind, sentence.format(path=path, python=python, index=index, what=what), retry
    return "other", last_line(text), False
