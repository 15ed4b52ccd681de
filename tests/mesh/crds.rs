//! Every document of a kind that has a CRD fits its schema, and names no field that it does not know.
//!
//! The CRDs are read from the folder `CRD_DIR`, by default `../shared/schemas` where that is present: any file of
//! CustomResourceDefinitions, such as what `kubectl get crd -o yaml` prints. They are not part of this project.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::documents::{Document, Folder, Values, list_at, names, text_at};
use crate::examples::FOLDERS;
use crate::support::{Result, project_root};

/// Validators by `apiVersion` and `kind`.
type Schemas = BTreeMap<(String, String), Validator>;

fn schemas() -> Result<Option<Schemas>> {
    let folder = match std::env::var_os("CRD_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => project_root().join("../shared/schemas"),
    };
    if !folder.is_dir() {
        skip(&folder);
        return Ok(None);
    }
    let mut schemas = Schemas::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| matches!(extension.to_str(), Some("yaml" | "yml" | "json")))
        {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(&path)?)?;
            // `kubectl get` wraps them into a List.
            let all = documents.iter().flat_map(|root| match list_at(root, "/items") {
                [] => std::slice::from_ref(root),
                items => items,
            });
            for definition in all.filter(|document| document["kind"] == "CustomResourceDefinition") {
                add(definition, &mut schemas)?;
            }
        }
    }
    if schemas.is_empty() {
        Err(format!("no CustomResourceDefinition in {}", folder.display()).into())
    } else {
        Ok(Some(schemas))
    }
}

/// Says so once, and past the test runner, which keeps what passing tests print to itself.
fn skip(folder: &Path) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let hint = "set CRD_DIR to a folder with the output of kubectl get crd -o yaml";
        // Where nobody listens, nobody misses it.
        let _ = writeln!(std::io::stderr(), "SKIP: no CRDs in {}; {hint}", folder.display());
    });
}

fn add(definition: &Value, schemas: &mut Schemas) -> Result<()> {
    let spec = &definition["spec"];
    for version in list_at(spec, "/versions") {
        let mut schema =
            version.pointer("/schema/openAPIV3Schema").cloned().ok_or("a version without a schema")?;
        // The API server adds these three to every schema.
        for name in ["apiVersion", "kind"] {
            schema["properties"][name] = json!({"type": "string"});
        }
        close(&mut schema);
        let [text, texts] = [json!({"type": "string"}), json!({"additionalProperties": {"type": "string"}})];
        schema["properties"]["metadata"] = json!({
            "properties": {"name": text, "namespace": text, "labels": texts, "annotations": texts},
            "additionalProperties": false,
        });
        let api_version = format!("{}/{}", text_at(spec, "/group")?, text_at(version, "/name")?);
        let kind = text_at(spec, "/names/kind")?.to_owned();
        schemas.insert((api_version, kind), jsonschema::validator_for(&schema)?);
    }
    Ok(())
}

/// Makes a schema of Kubernetes one of JSON Schema that refuses what it does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                members.remove("anyOf");
                members.insert("type".to_owned(), json!(["integer", "string"]));
            }
            if members.get("nullable") == Some(&Value::Bool(true))
                && let Some(own) = members.get("type").cloned()
            {
                members.insert("type".to_owned(), json!([own, "null"]));
            }
            let is_open = members.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            // In `oneOf` and its like a schema names a part of the fields only; those have no type.
            if members.get("properties").is_some_and(Value::is_object)
                && members.contains_key("type")
                && !is_open
            {
                members.entry("additionalProperties").or_insert_with(|| false.into());
            }
        }
        _ => {}
    }
}

/// The faults of a document, or `None` where there is no schema of its kind.
fn faults(document: &Document, schemas: &Schemas) -> Option<Vec<String>> {
    let text = |name: &str| document.value[name].as_str().unwrap_or_default().to_owned();
    let validator = schemas.get(&(text("apiVersion"), text("kind")))?;
    let errors = validator.iter_errors(&document.value);
    Some(errors.map(|error| format!("{}: {}: {error}", document.file, error.instance_path())).collect())
}

fn documents() -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for folder in FOLDERS {
        let names = names(folder)?;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        documents.extend(Folder::open(folder, &names, &Values::own()?)?.0);
    }
    let values = Values::own()?;
    let telemetry = Folder::uncommented("envoy/istio", "telemetry.yaml", "twilio_guard.path", &values)?;
    documents.extend(telemetry.0);
    Ok(documents)
}

/// Kinds that may go without a schema: those of Kubernetes itself, and those whose CRDs were not at hand when this was
/// written. Where `CRD_DIR` has them, they are checked as well.
const WITHOUT_SCHEMA: [&str; 20] = [
    "AuthorizationPolicy",
    "BackendTLSPolicy",
    "ClientTrafficPolicy",
    "ConfigMap",
    "Deployment",
    "EnvoyPatchPolicy",
    "EnvoyProxy",
    "ExternalSecret",
    "Gateway",
    "GatewayClass",
    "HTTPRoute",
    "NetworkPolicy",
    "PeerAuthentication",
    "Secret",
    "SecretStore",
    "Service",
    "ServiceAccount",
    "VaultAuth",
    "VaultStaticSecret",
    "VirtualService",
];

#[test]
fn every_document_fits_the_schema_of_its_kind() -> Result<()> {
    let Some(schemas) = schemas()? else { return Ok(()) };
    let group = |version: &str| version.split('/').next().unwrap_or_default().to_owned();
    let groups: BTreeSet<_> = schemas.keys().map(|(version, _)| group(version)).collect();
    let (mut checked, mut unchecked) = (BTreeMap::new(), BTreeMap::new());
    for document in documents()? {
        // Values of a Helm chart have none.
        let Some(kind) = document.value["kind"].as_str() else { continue };
        let faults = faults(&document, &schemas);
        let kinds = if faults.is_some() { &mut checked } else { &mut unchecked };
        *kinds.entry(kind.to_owned()).or_insert(0) += 1;
        assert_eq!(faults.unwrap_or_default(), Vec::<String>::new());
    }
    for kind in unchecked.keys() {
        let of_kind = documents()?.into_iter().filter(|document| document.value["kind"] == *kind);
        let mut versions =
            of_kind.map(|document| group(document.value["apiVersion"].as_str().unwrap_or_default()));
        let is_excused =
            WITHOUT_SCHEMA.contains(&kind.as_str()) || versions.all(|group| !groups.contains(&group));
        assert!(is_excused, "there are CRDs of its group, and none of {kind}");
    }
    assert!(!checked.is_empty(), "the CRDs are of other kinds");
    // Past the test runner: nobody is to believe that all were checked.
    let _ = writeln!(std::io::stderr(), "CRDs: checked {checked:?}, without a schema {unchecked:?}");
    Ok(())
}

/// A field more, a field misspelt and a value that is none: each is found, in every document that is checked.
#[test]
fn a_planted_fault_is_found_in_every_document_that_is_checked() -> Result<()> {
    let Some(schemas) = schemas()? else { return Ok(()) };
    for document in documents()? {
        if faults(&document, &schemas).is_none() {
            continue;
        }
        let spec = document.value["spec"].as_object().ok_or("no spec")?;
        for name in spec.keys() {
            let mut misspelt = document.clone();
            let value = misspelt.value["spec"].as_object_mut().and_then(|spec| spec.remove(name));
            misspelt.value["spec"][format!("{name}x")] = value.ok_or("a value")?;
            let found = faults(&misspelt, &schemas).unwrap_or_default();
            assert!(!found.is_empty(), "{}: {name}x is not found", document.file);
        }
        let mut unnamed = document.clone();
        unnamed.value["metadata"]["namspace"] = "clinic".into();
        assert!(!faults(&unnamed, &schemas).unwrap_or_default().is_empty(), "{}", document.file);
        let mut foreign = document.clone();
        foreign.value["sepc"] = json!({});
        assert!(!faults(&foreign, &schemas).unwrap_or_default().is_empty(), "{}", document.file);
    }
    // Deeper down.
    let values = Values::own()?;
    for (file, text, other) in [
        ("wasmplugin-sidecar.yaml", r#""valueFrom":"HOST""#, r#""valuefrom":"HOST""#),
        ("wasmplugin-gateway.yaml", r#""FAIL_CLOSE""#, r#""FAIL_CLOSED""#),
        ("trafficextension-sidecar.yaml", r#""SERVER""#, r#""INBOUND""#),
        ("strict-sidecar.yaml", r#""operation":"INSERT_FIRST""#, r#""operation":"INSERT_TOP""#),
        ("telemetry.yaml", r#""accessLogging""#, r#""accessLog""#),
    ] {
        let folder = Folder::open("envoy/istio", &[file], &values)?;
        let planted = serde_json::from_str(&folder.0[0].value.to_string().replacen(text, other, 1))?;
        assert_ne!(planted, folder.0[0].value, "{file}");
        let planted = Document { file: file.to_owned(), value: planted };
        let found = faults(&planted, &schemas);
        assert!(found.is_none_or(|faults| !faults.is_empty()), "{file}: {other} is not found");
    }
    Ok(())
}
