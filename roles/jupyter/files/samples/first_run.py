"""A first tracked run: looks at the GPU and at the environment, and logs a run with a metric, a param and a file.

python first_run.py
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import mlflow


def look_for_gpu():
    """Say which GPUs this container sees, by the vendors' own tools or, without them, by the devices."""
    for tool, arguments in (("nvidia-smi", ["--list-gpus"]), ("rocm-smi", ["--showproductname"])):
        if shutil.which(tool):
            return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False).stdout.strip()
    devices = sorted(
        str(path) for pattern in ("nvidia[0-9]*", "kfd", "dri/render*") for path in pathlib.Path("/dev").glob(pattern)
    )
    return f"devices without a tool to ask: {', '.join(devices)}" if devices else "none"


def log_first_run():
    """Log a run to the tracking server that MLFLOW_TRACKING_URI names, and read it back."""
    with mlflow.start_run(run_name="first run") as run:
        mlflow.log_param("gpu", look_for_gpu()[:200])
        for step in range(10):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        with tempfile.TemporaryDirectory() as folder:
            notes = pathlib.Path(folder) / "notes.txt"
            notes.write_text("logged from a notebook\n", encoding="utf-8")
            mlflow.log_artifact(str(notes))
    found = mlflow.get_run(run.info.run_id)
    back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes.txt")
    assert pathlib.Path(back).read_text(encoding="utf-8") == "logged from a notebook\n"
    return found


if __name__ == "__main__":
    print("GPU:", look_for_gpu())
    print("Tracking server:", os.environ["MLFLOW_TRACKING_URI"])
    logged = log_first_run()
    print("Logged the run", logged.info.run_id, "with the loss", logged.data.metrics["loss"])
