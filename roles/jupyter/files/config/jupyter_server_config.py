# Written by Ansible (mlops.stack, role jupyter), and read by Jupyter Server in the container.
import pathlib

c = get_config()  # noqa: F821
# A file, because arguments and the environment can be read by others.
c.IdentityProvider.token = pathlib.Path("/run/mlops-stack/token").read_text(encoding="utf-8").strip()
# What is saved elsewhere goes with the container.
c.ServerApp.root_dir = "/home/jovyan/work"
