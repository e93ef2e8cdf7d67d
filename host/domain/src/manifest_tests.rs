use super::*;

fn manifest(extra: &str) -> Result<Manifest> {
    Manifest::parse(&format!(
        "schema_version = 1\nname = \"x\"\nversion = \"0.1.0\"\ntitle = \"X\"\ndescription = \"d\"\nlicense = \"MIT\"\n{extra}"
    ))
}

#[test]
fn what_it_depends_on_must_be_there_in_a_version_that_fits() {
    let manifest = manifest("fuseml = \">=0.1, <0.3\"\n[dependencies]\nmlflow = \"^0.2\"\n").expect("manifest");
    let with = |version: Version| BTreeMap::from([("mlflow".parse().expect("name"), version)]);
    let cases = [
        (Version::new(0, 1, 0), with(Version::new(0, 2, 5)), None),
        (Version::new(0, 3, 0), with(Version::new(0, 2, 5)), Some("host-version")),
        (Version::new(0, 1, 0), with(Version::new(0, 1, 9)), Some("dependency")),
        (Version::new(0, 1, 0), BTreeMap::new(), Some("dependency")),
    ];
    for (host, installed, expected) in cases {
        let refused = manifest.check_dependencies(&host, &installed).err().map(|error| error.code);
        assert_eq!(refused.as_deref(), expected, "{host} {installed:?}");
    }
}

#[test]
fn a_secret_is_bound_to_hosts_that_are_known() {
    for (what, text, fits) in [
        ("a host", "[secrets.token]\ndescription = \"t\"\nhosts = [\"https://a.example\"]\n", true),
        ("no host", "[secrets.token]\ndescription = \"t\"\nhosts = []\n", false),
        ("any host", "[secrets.token]\ndescription = \"t\"\nhosts = [\"*\"]\n", false),
        ("no such setting", "[secrets.token]\ndescription = \"t\"\nhosts = [\"${settings.endpoint}\"]\n", false),
        ("a name with a slash", "[secrets.\"a/b\"]\ndescription = \"t\"\nhosts = [\"https://a.example\"]\n", false),
    ] {
        assert_eq!(manifest(text).is_ok(), fits, "{what}");
    }
    assert!(manifest("[dependencies]\nx = \"1\"\n").is_err(), "nothing depends on itself");
}
