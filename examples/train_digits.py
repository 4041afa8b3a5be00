#!/usr/bin/env python3
"""Trains a classifier of handwritten digits and logs everything about it to an MLflow server.

Parameters, four metrics per epoch, a plot, the model and a registered version of it, which is then loaded back
through the server and must predict the same. Run again, it trains nothing: it finds the finished run of the same
code, data and parameters, and only loads that model back and checks it. --force trains again.

The server and the login come from the environment: MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

EXPERIMENT = "digits"
MODEL = "digits"
PARAMS = {
    "hidden_units": 64,
    "learning_rate": 0.002,
    "alpha": 0.0001,
    "batch_size": 64,
    "epochs": 20,
    "validation_part": 0.25,
    "seed": 7,
}
FINGERPRINT = "digits.fingerprint"
PREDICTIONS = "digits.predictions_sha256"
VERSION = "digits.model_version"


class Refused(Exception):
    """One sentence for the user."""


def server() -> str:
    """The tracking URI, once a request with these settings has been answered."""
    import requests

    uri = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if not uri.startswith(("http://", "https://")):
        raise Refused("MLFLOW_TRACKING_URI must be set to the server's URL, such as http://mlflow.example.org:5000.")
    bundle = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    login = (user.encode(), password.encode()) if user else None
    try:
        answer = requests.get(
            uri + "/api/2.0/mlflow/experiments/get-by-name",
            params={"experiment_name": EXPERIMENT},
            auth=login,
            timeout=20,
            verify=bundle,
        )
    except (requests.exceptions.SSLError, OSError) as error:
        if isinstance(error, requests.exceptions.SSLError):
            raise Refused(
                f"The certificate of {uri} is not trusted; name its CA's file in MLFLOW_TRACKING_SERVER_CERT_PATH."
            ) from None
        raise Refused(
            f"No MLflow server answers at {uri} ({type(error).__name__}); check MLFLOW_TRACKING_URI and that it runs."
        ) from None
    if answer.status_code == 401:
        if not user or not password:
            raise Refused(f"{uri} wants a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.")
        raise Refused(f"{uri} does not accept the password of {user}; check MLFLOW_TRACKING_PASSWORD.")
    if answer.status_code == 403 and "Host header" in answer.text:
        raise Refused(f"MLflow does not know itself by the address in {uri}; add it to the server's allowed hosts.")
    if answer.status_code == 403:
        raise Refused(f"User {user} may not read the experiment {EXPERIMENT} at {uri}; an administrator can allow it.")
    if answer.status_code not in (200, 404) or "json" not in answer.headers.get("content-type", ""):
        raise Refused(f"What answers at {uri} is not an MLflow server (status {answer.status_code}).")
    return uri


def digits():
    """Training and validation part of scikit-learn's digits, and a hash of them."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    parts = train_test_split(
        images, labels, test_size=PARAMS["validation_part"], random_state=PARAMS["seed"], stratify=labels
    )
    content = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return parts, content


def fingerprint(data_hash: str) -> str:
    """What the result depends on: this file, the data, the parameters and the library's version."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(data_hash.encode())
    digest.update(json.dumps(PARAMS, sort_keys=True).encode())
    digest.update(version("scikit-learn").encode())
    return digest.hexdigest()[:32]


def hash_of(predictions) -> str:
    return hashlib.sha256(",".join(str(int(value)) for value in predictions).encode()).hexdigest()


def train(mlflow, parts):
    """The fitted classifier; its metrics are logged after every epoch."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    train_x, valid_x, train_y, valid_y = parts
    model = MLPClassifier(
        hidden_layer_sizes=(PARAMS["hidden_units"],),
        learning_rate_init=PARAMS["learning_rate"],
        alpha=PARAMS["alpha"],
        batch_size=PARAMS["batch_size"],
        random_state=PARAMS["seed"],
    )
    classes = sorted(set(train_y))
    for epoch in range(1, PARAMS["epochs"] + 1):
        model.partial_fit(train_x, train_y, classes=classes)
        metrics = {
            "train_loss": log_loss(train_y, model.predict_proba(train_x), labels=classes),
            "train_accuracy": model.score(train_x, train_y),
            "validation_loss": log_loss(valid_y, model.predict_proba(valid_x), labels=classes),
            "validation_accuracy": model.score(valid_x, valid_y),
        }
        mlflow.log_metrics(metrics, step=epoch)
        print(
            f"  epoch {epoch:2d}/{PARAMS['epochs']}  loss {metrics['train_loss']:.4f} "
            f"(validation {metrics['validation_loss']:.4f})  accuracy {metrics['train_accuracy']:.3f} "
            f"(validation {metrics['validation_accuracy']:.3f})",
            flush=True,
        )
    return model


def plot(truth, predictions):
    """The confusion matrix as a figure."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from sklearn.metrics import ConfusionMatrixDisplay

    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(truth, predictions, ax=axes, cmap="Blues", colorbar=False)
    axes.set_title("Digits: validation part")
    return figure


def new_run(mlflow, parts, mark: str):
    """Trains, logs and registers; gives the run's id, the model's version and its predictions."""
    from mlflow.models import infer_signature

    train_x, valid_x, _train_y, valid_y = parts
    # Tells the web pages that this is model training, and not GenAI.
    mlflow.set_experiment_tag("mlflow.experimentKind", "custom_model_development")
    with mlflow.start_run(run_name=f"mlp-{PARAMS['hidden_units']}", tags={FINGERPRINT: mark}) as run:
        mlflow.log_params(PARAMS)
        print(f"Training {PARAMS['epochs']} epochs on {len(train_x)} images")
        model = train(mlflow, parts)
        predictions = model.predict(valid_x)
        figure = plot(valid_y, predictions)
        mlflow.log_figure(figure, "confusion_matrix.png")
        # MLflow's default format for scikit-learn is skops, which holds no pickled code; the types in it that skops
        # does not know must be named. The requirements are given, because MLflow would otherwise load the model in
        # another process to find them out.
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            signature=infer_signature(train_x, model.predict(train_x)),
            input_example=train_x[:2],
            skops_trusted_types=["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"],
            pip_requirements=[f"{name}=={version(name)}" for name in ("scikit-learn", "numpy", "skops", "pandas")],
        )
        mlflow.set_tags({VERSION: info.registered_model_version, PREDICTIONS: hash_of(predictions)})
    return run.info.run_id, str(info.registered_model_version), hash_of(predictions)


def finished_run(mlflow, mark: str):
    """The same of an earlier finished run with this fingerprint, or None."""
    found = mlflow.search_runs(
        experiment_names=[EXPERIMENT],
        max_results=1,
        output_format="list",
        filter_string=f"tags.`{FINGERPRINT}` = '{mark}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
    )
    if not found or VERSION not in found[0].data.tags:
        return None
    tags = found[0].data.tags
    if not mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}' and run_id = '{found[0].info.run_id}'"):
        return None
    return found[0].info.run_id, tags[VERSION], tags[PREDICTIONS]


def load_back(mlflow, model_version: str, valid_x):
    """What the registered version predicts, loaded through the server."""
    return mlflow.pyfunc.load_model(f"models:/{MODEL}/{model_version}").predict(valid_x)


def work(force: bool) -> None:
    begin = time.monotonic()
    uri = server()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    print(f"Server {uri}")
    import logging

    import mlflow
    import mlflow.sklearn
    from requests.exceptions import RequestException

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    parts, data_hash = digits()
    mark = fingerprint(data_hash)
    try:
        experiment = mlflow.set_experiment(EXPERIMENT)
        found = None if force else finished_run(mlflow, mark)
        run_id, model_version, expected = found or new_run(mlflow, parts, mark)
        predictions = load_back(mlflow, model_version, parts[1])
    except (mlflow.exceptions.MlflowException, RequestException) as error:
        raise Refused(f"The server refused a request: {str(error).splitlines()[0]}") from None
    if hash_of(predictions) != expected:
        raise Refused(f"Version {model_version} of model {MODEL}, loaded back, predicts something else than before.")
    accuracy = float((predictions == parts[3]).mean())
    state = "already logged, nothing changed" if found else "logged"
    print(f"Run {run_id} of experiment {EXPERIMENT}: {state}")
    print(
        f"Model {MODEL} version {model_version}, loaded back through the server, predicts the same "
        f"(validation accuracy {accuracy:.3f})"
    )
    print(f"{uri}/#/experiments/{experiment.experiment_id}/runs/{run_id}")
    print(f"Done in {time.monotonic() - begin:.1f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--force", action="store_true", help="train again, even where a finished run exists")
    arguments = parser.parse_args()
    try:
        work(arguments.force)
    except Refused as error:
        print(f"train_digits: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
