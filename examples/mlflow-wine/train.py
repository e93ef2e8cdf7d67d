"""Train a classifier of wines and log it with MLflow.

The data ship with scikit-learn: thirteen measurements of each of 178 wines that
come from three cultivars.
"""

import argparse

import mlflow
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_wine
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 7


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, default=0.5, help="strength of the penalty")
    parser.add_argument("--max-iter", type=int, default=200, help="most steps of the solver")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    x, y = load_wine(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.4, stratify=y, random_state=SEED
    )

    with mlflow.start_run():
        # `mlflow run` has logged the parameters of MLproject; these are the others.
        mlflow.log_params({"seed": SEED, "solver": "lsqr", "train_rows": len(x_train)})

        model = make_pipeline(
            StandardScaler(),
            RidgeClassifier(alpha=args.alpha, max_iter=args.max_iter, solver="lsqr"),
        )
        model.fit(x_train, y_train)
        predicted = model.predict(x_test)

        metrics = {
            "accuracy": accuracy_score(y_test, predicted),
            "f1_macro": f1_score(y_test, predicted, average="macro"),
        }
        mlflow.log_metrics(metrics)
        print("  ".join(f"{name}={value:.4f}" for name, value in metrics.items()))

        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(x_test, predicted),
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        )


if __name__ == "__main__":
    main()
