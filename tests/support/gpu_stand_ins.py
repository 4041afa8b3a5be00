# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for GPUs in a node: what a driver leaves on a host for others to see. Nothing computes on them.

Device files are made by mknod and have no driver behind them. NVIDIA's container toolkit is a package of the same name
whose programs do the least that Docker Engine needs.
"""

from __future__ import annotations

import base64

RENDER_GROUP = 993
NVIDIA_MODEL = "NVIDIA Stand-in A100"
NVIDIA_DRIVER = "535.0.0"
NVIDIA_MEMORY = "40960 MiB"
NVIDIA_PACKAGE = "nvidia-container-toolkit"
NVIDIA_CONTROL = f"""\
Package: {NVIDIA_PACKAGE}
Version: 1.0-standin1
Architecture: all
Maintainer: The mlops.stack authors <nobody@example.com>
Description: Stand-in for NVIDIA's container toolkit in tests
"""
# The hook of --gpus has nothing to do: without a driver there are no libraries to bring into a container.
NVIDIA_HOOK = "#!/bin/sh\nexit 0\n"
NVIDIA_RUNTIME = '#!/bin/sh\nexec runc "$@"\n'
NVIDIA_SMI = f"#!/bin/sh\necho '{NVIDIA_MODEL}, {NVIDIA_MEMORY}, {NVIDIA_DRIVER}'\n"
NVIDIA_BROKEN = "Failed to initialize NVML: Driver/library version mismatch"
NVIDIA_CTK = """\
#!/bin/sh
set -eu
[ "$1 $2" = "cdi generate" ]
cat > "${3#--output=}" <<'END'
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
  - name: all
    containerEdits:
      deviceNodes:
        - path: /dev/nvidia0
        - path: /dev/nvidiactl
containerEdits:
  env:
    - NVIDIA_STAND_IN=cdi
END
"""


class Nvidia:
    """An NVIDIA GPU's stand-in on one node.

    :param shell: runs a script as root on the node, fails where that fails, and returns what it says.
    """

    def __init__(self, shell):
        self.shell = shell

    def plug_in(self):
        """Show a GPU as NVIDIA's driver does: in /proc, as device files, and by nvidia-smi."""
        self.shell(
            "mountpoint --quiet /proc/driver || mount -t tmpfs stand-in /proc/driver\n"
            "mkdir -p /proc/driver/nvidia/gpus/0000:00:00.0\n"
            f"printf 'Model: \\t\\t %s\\n' '{NVIDIA_MODEL}' > /proc/driver/nvidia/gpus/0000:00:00.0/information\n"
            "[ -e /dev/nvidia0 ] || mknod -m 0666 /dev/nvidia0 c 195 0\n"
            "[ -e /dev/nvidiactl ] || mknod -m 0666 /dev/nvidiactl c 195 255"
        )
        self._program("/usr/local/bin/nvidia-smi", NVIDIA_SMI)

    def install_toolkit(self):
        """Install the stand-in for the container toolkit as a package."""
        folder = "/tmp/nvidia-stand-in"
        self.shell(f"rm -rf {folder}; mkdir -p {folder}/DEBIAN {folder}/usr/bin")
        self._program(f"{folder}/DEBIAN/control", NVIDIA_CONTROL, "0644")
        self._program(f"{folder}/usr/bin/nvidia-container-runtime-hook", NVIDIA_HOOK)
        self._program(f"{folder}/usr/bin/nvidia-container-runtime", NVIDIA_RUNTIME)
        self._program(f"{folder}/usr/bin/nvidia-ctk", NVIDIA_CTK)
        self.shell(f"dpkg-deb --build {folder} {folder}.deb; dpkg --install {folder}.deb; rm -r {folder} {folder}.deb")

    def break_driver(self):
        """Have nvidia-smi say what it says after an upgrade of the driver without a restart."""
        self._program("/usr/local/bin/nvidia-smi", f"#!/bin/sh\necho '{NVIDIA_BROKEN}'\nexit 18\n")

    def unplug(self):
        """Take all of it away."""
        self.shell(
            "! mountpoint --quiet /proc/driver || umount /proc/driver\n"
            f"! dpkg --status {NVIDIA_PACKAGE} > /dev/null 2>&1 || dpkg --purge {NVIDIA_PACKAGE}\n"
            "rm -f /dev/nvidia0 /dev/nvidiactl /usr/local/bin/nvidia-smi"
        )

    def _program(self, path, text, mode="0755"):
        encoded = base64.b64encode(text.encode()).decode()
        self.shell(f"echo {encoded} | base64 --decode > {path}; chmod {mode} {path}")


class Amd:
    """An AMD GPU's stand-in on one node: its device files, and a group render with a number of its own.

    :param shell: runs a script as root on the node, fails where that fails, and returns what it says.
    """

    def __init__(self, shell):
        self.shell = shell

    def plug_in(self, render_group=RENDER_GROUP):
        """Show a GPU as AMD's driver does to containers."""
        self.shell(
            f"groupmod --gid {render_group} render || groupadd --gid {render_group} render\n"
            "mkdir -p /dev/dri\n"
            "[ -e /dev/kfd ] || mknod -m 0660 /dev/kfd c 240 0\n"
            "[ -e /dev/dri/renderD128 ] || mknod -m 0660 /dev/dri/renderD128 c 226 128\n"
            "chgrp render /dev/kfd /dev/dri/renderD128"
        )

    def unplug(self):
        """Take the devices away."""
        self.shell("rm -rf /dev/kfd /dev/dri")
