# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

DEFAULTS = {
    "name": "jupyter",
    "image": "example/notebook:1",
    "pull": "missing",
    "command": None,
    "user": "1000:1000",
    "home": "/home/jovyan",
    "tracking_scheme": "http",
    "tracking_port": 5000,
    "mlflow_version": "3.17.2",
    "ca_cert": None,
    "credentials_file": None,
    "token_file": None,
    "config_dir": None,
    "workspace": None,
    "volumes": [],
    "env": {},
    "bind": "127.0.0.1",
    "port": 8888,
    "gpus": "none",
    "gpu_groups": [],
    "shm_size": "2G",
    "probe": True,
    "probe_timeout": 60,
}


@pytest.fixture
def options():
    """The module's options, with some of them changed."""
    return lambda **changes: {**DEFAULTS, **changes}
