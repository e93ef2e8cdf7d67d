//! Names that could be taken for others. Names are ASCII by rule, so letters of other scripts never get here.

use strsim::damerau_levenshtein;

/// Well-known tools: nobody takes these as a namespace but by an operator's hand.
const RESERVED: &[&str] = &[
    "airflow",
    "argo",
    "aws",
    "azure",
    "bentoml",
    "dagster",
    "databricks",
    "docker",
    "dvc",
    "feast",
    "flyte",
    "fuseml",
    "gitea",
    "github",
    "gitlab",
    "google",
    "huggingface",
    "jupyter",
    "kfp",
    "kserve",
    "kubeflow",
    "kubernetes",
    "metaflow",
    "mlflow",
    "mlrun",
    "mlserver",
    "neptune",
    "nvidia",
    "onnx",
    "openai",
    "pachyderm",
    "prefect",
    "pytorch",
    "ray",
    "scikit-learn",
    "seldon",
    "sklearn",
    "slurm",
    "spark",
    "tekton",
    "tensorflow",
    "triton",
    "vllm",
    "wandb",
    "zenml",
];

/// The same for all names that look alike: `mIf10w` and `mlflow`, `my-tool` and `my_tool`.
pub(crate) fn skeleton(name: &str) -> String {
    let plain: String = name.chars().filter(|c| !"-_.".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
    let plain = plain.replace("rn", "m").replace("vv", "w").replace("cl", "d");
    plain
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            '8' => 'b',
            other => other,
        })
        .collect()
}

/// Whether a person could take one for the other: the same to the eye, or one slip of the finger apart.
pub(crate) fn alike(one: &str, other: &str) -> bool {
    let (a, b) = (skeleton(one), skeleton(other));
    a == b || (a.len().min(b.len()) >= 5 && damerau_levenshtein(&a, &b) == 1)
}

/// The reserved name that this is, or that it resembles.
pub(crate) fn reserved(name: &str) -> Option<&'static str> {
    RESERVED.iter().find(|reserved| alike(name, reserved)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_alike() {
        for (one, other, expected) in [
            ("mlflow", "mlfl0w", true),
            ("mlflow", "mifiow", true),
            ("mlflow", "ml-flow", true),
            ("mlflow", "mlfow", true),
            ("mlflow", "mflow", true),
            ("modern", "modem", true),
            ("mlflow", "mlfwol", false),
            ("ray", "dvc", false),
            ("ray", "rays", false),
            ("acme", "acme-tools", false),
        ] {
            assert_eq!(alike(one, other), expected, "{one} {other}");
        }
        assert_eq!(reserved("kubernetess"), Some("kubernetes"));
        assert_eq!(reserved("acme"), None);
    }
}
