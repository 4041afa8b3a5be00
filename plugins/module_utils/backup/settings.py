# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to settings: secrets read from their files, durations and sizes as numbers, conflicts told."""

from __future__ import annotations

import dataclasses
import pathlib
import urllib.parse

from ansible_collections.mlops.stack.plugins.module_utils.backup import names
from ansible_collections.mlops.stack.plugins.module_utils.backup.options import seconds, size, wrong
from ansible_collections.mlops.stack.plugins.module_utils.backup.postgres import Login
from ansible_collections.mlops.stack.plugins.module_utils.backup.retention import Policy


@dataclasses.dataclass(frozen=True)
class S3:
    """A place in an S3 store, with its keys. ``expire``: whether sets that retention drops are removed from it."""

    bucket: str
    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    prefix: str = ""
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    region: str | None = None
    wait_timeout: int = 60
    expire: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder, or a place in an S3 store: one of both is set."""

    path: str | None = None
    s3: S3 | None = None


@dataclasses.dataclass(frozen=True)
class Artifacts:
    """What becomes of artifacts."""

    mode: str = "none"
    source: Place | None = None
    destination: Place | None = None


@dataclasses.dataclass(frozen=True)
class Sets:
    """Where the sets are, of which databases, and which are enough. ``max_age`` in seconds, ``min_size`` in bytes.

    ``copies``: where copies of artifacts are; None for the usual place, beside the sets. ``timeout``: seconds for each
    thing that takes long.
    """

    dest: pathlib.Path
    s3: S3 | None = None
    max_age: float | None = None
    min_size: int | None = None
    minimum_redundancy: int = 2
    policy: Policy = Policy()
    databases: tuple[str, ...] = ()
    copies: Place | None = None
    timeout: int = 1800

    @property
    def stores(self) -> list[S3]:
        """The places in S3 stores."""
        return [place for place in (self.s3, self.copies.s3 if self.copies else None) if place]


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of a backup. ``secrets`` are what no output may show."""

    sets: Sets
    login: Login
    state: str = "present"
    label: str | None = None
    allow_replica: bool = False
    jobs: int = 2
    compress: str = "auto"
    verify: str = "read"
    restore_login: Login | None = None
    free_space_factor: float = 1.2
    lock_timeout: int = 60
    artifacts: Artifacts = Artifacts()
    encrypt_to: tuple[str, ...] = ()
    versions: dict = dataclasses.field(default_factory=dict)
    secret_files: dict = dataclasses.field(default_factory=dict)

    @property
    def timeout(self) -> int:
        """Seconds for each thing that takes long."""
        return self.sets.timeout

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases that a set holds."""
        return self.sets.databases

    @property
    def stores(self) -> list[S3]:
        """The places in S3 stores."""
        source = self.artifacts.source
        return self.sets.stores + ([source.s3] if source and source.s3 else [])

    @property
    def secrets(self) -> list[str]:
        """What no output may show."""
        found = [self.login.password, self.restore_login.password if self.restore_login else None]
        return [secret for secret in (*found, *(place.secret_key for place in self.stores)) if secret]


def read_secret(option: str, path) -> str:
    """The content of a file that holds a secret, without the line break at its end."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise wrong(f"The file {path} that {option} names cannot be read: {why}.") from None
    if not text:
        raise wrong(f"The file {path} that {option} names is empty.")
    return text


def secret(params: dict, option: str, where: str = "") -> str | None:
    """An option's value: its own, else that of its file, else None. Both at once are an error."""
    value, path = params.get(option), params.get(option + "_file")
    if value and path:
        raise wrong(f"{where}{option} and {where}{option}_file are both set: set one of them.")
    return read_secret(f"{where}{option}_file", path) if path else value


def s3(params: dict | None, option: str) -> S3 | None:
    """A place in a store; ``option`` is what the user calls it."""
    if not params:
        return None
    keys = {key: secret(params, key, f"{option}.") for key in ("access_key", "secret_key")}
    missing = [key for key, value in keys.items() if not value]
    if missing:
        raise wrong(f"{option}.{missing[0]} is missing: set it, or {option}.{missing[0]}_file.")
    if params["endpoint_url"]:
        _check_url(params["endpoint_url"], f"{option}.endpoint_url")
    return S3(
        **keys,
        **{key: params[key] for key in ("bucket", "endpoint_url", "ca_bundle", "region", "wait_timeout")},
        prefix=_prefix(params["prefix"], f"{option}.prefix"),
        expire=params.get("expire", False),
    )


def _prefix(text: str | None, option: str) -> str:
    """A prefix without slashes at its ends, and a name between any two within it.

    rclone takes a//b and a/./b for a/b, and boto3 does not: what one writes, the other would not find.
    """
    prefix = (text or "").strip("/")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise wrong(f"{option} is '{text}' and must be names with one slash between them, none of them '.' or '..'.")
    return prefix


def _check_url(text: str, option: str) -> None:
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong(f"{option} must be a URL such as https://s3.example.org:8333.")
    if "@" in parts.netloc:
        raise wrong(f"{option} must not hold a user or a password: use the options for keys.")


def place(params: dict | None, option: str) -> Place | None:
    """A folder or a place in a store."""
    if not params:
        return None
    if bool(params["path"]) == bool(params["bucket"]):
        raise wrong(f"{option} needs a path or a bucket, and not both.")
    return Place(path=params["path"]) if params["path"] else Place(s3=s3(params, option))


def artifacts(params: dict | None, where: Sets) -> Artifacts:
    """What becomes of artifacts; their copies go beside the sets where nothing else is said."""
    if not params or params["mode"] == "none":
        return Artifacts()
    source = place(params["source"], "artifacts.source")
    if source is None:
        raise wrong("artifacts.source is missing: it is where MLflow's artifacts are.")
    destination = None
    if params["mode"] == "copy":
        destination = where.copies or Place(path=str(where.dest / names.ARTIFACTS))
    return Artifacts(params["mode"], source, destination)


def sets(params: dict) -> Sets:
    """Where the sets are, and which are enough."""
    dest = pathlib.Path(params["dest"])
    if not dest.is_absolute():
        raise wrong(f"dest is {dest} and must be an absolute path.")
    if params["minimum_redundancy"] < 1:
        raise wrong("minimum_redundancy must be 1 at least: the last set is never removed.")
    if params["timeout"] < 1:
        raise wrong("timeout must be 1 at least.")
    retention = params["retention"] or {}
    negative = [name for name, number in retention.items() if number < 0]
    if negative:
        raise wrong(f"retention.{negative[0]} cannot be negative.")
    return Sets(
        dest,
        s3(params["s3"], "s3"),
        seconds("max_age", params["max_age"]),
        size("min_size", params["min_size"]),
        params["minimum_redundancy"],
        Policy(**retention),
        tuple(dict.fromkeys(params["databases"])),
        place((params["artifacts"] or {}).get("destination"), "artifacts.destination"),
        params["timeout"],
    )


def login(params: dict, user: str) -> Login:
    """How PostgreSQL is reached; ``user`` is the one where none is set."""
    return Login(
        params["login_host"],
        params["login_port"],
        params["login_user"] or user,
        secret(params, "login_password"),
        params["sslmode"],
        params["ca_cert"],
    )


def settings(params: dict) -> Settings:
    """All of a backup, from options with their defaults; BackupError where they cannot be."""
    found = sets(params)
    if params["jobs"] < 1:
        raise wrong("jobs must be 1 at least.")
    for option in ("lock_timeout", "free_space_factor"):
        if params[option] < 0:
            raise wrong(f"{option} cannot be negative.")
    state, label = params.get("state", "present"), params.get("label")
    if label:
        names.check_label(label)
    if state == "present" and not found.databases:
        raise wrong("databases is empty: name the databases that a set holds, MLflow's and that of its users.")
    if state == "absent" and not label:
        raise wrong("label is missing: with state=absent, it names the set that is removed.")
    backup = login(params, "mlops_backup")
    restore = None
    if params["verify"] == "restore":
        password = secret(params, "restore_password")
        restore = dataclasses.replace(backup, user=params["restore_user"], password=password)
    return Settings(
        sets=found,
        login=backup,
        state=state,
        label=label,
        restore_login=restore,
        artifacts=artifacts(params["artifacts"], found),
        encrypt_to=tuple(params["encrypt_to"]),
        **{
            name: params[name]
            for name in (
                *("allow_replica", "jobs", "compress", "verify", "free_space_factor", "lock_timeout"),
                *("versions", "secret_files"),
            )
        },
    )
