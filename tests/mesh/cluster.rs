//! What Kubernetes does: from Secrets, and operators that make them, through a container's `env` into a process's
//! environment; from ConfigMaps through volumes into its file system.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::documents::{Document, identity, list_at, text_at};
use crate::support::{Result, module};

type Name = (String, String);

/// The state of a cluster.
pub struct Cluster {
    secrets: BTreeMap<Name, BTreeMap<String, String>>,
    config_maps: BTreeMap<Name, TempDir>,
    vault: BTreeMap<String, BTreeMap<String, String>>,
}

/// A container of a pod, as far as Envoy sees it.
#[derive(Debug, Default)]
pub struct Container {
    /// The environment of its processes.
    pub environment: Vec<(String, String)>,
    /// What is mounted where.
    pub mounts: Vec<(String, PathBuf)>,
}

impl Cluster {
    /// An empty cluster, beside a vault with these entries.
    pub fn new(vault: &[(&str, &[(&str, &str)])]) -> Self {
        let fields = |fields: &[(&str, &str)]| {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let vault = vault.iter().map(|(path, entry)| ((*path).to_owned(), fields(entry))).collect();
        Self { secrets: BTreeMap::new(), config_maps: BTreeMap::new(), vault }
    }

    /// `kubectl create configmap NAME --from-file=twilio_guard.wasm`.
    pub fn create_module(&mut self, namespace: &str, name: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::symlink(module::path()?, folder.path().join("twilio_guard.wasm"))?;
        self.config_maps.insert((namespace.to_owned(), name.to_owned()), folder);
        Ok(())
    }

    /// `kubectl apply`: what becomes a Secret.
    pub fn apply(&mut self, documents: &[Document]) -> Result<()> {
        for Document { value, .. } in documents {
            match value["kind"].as_str() {
                Some("Secret") => {
                    let data = value["stringData"].as_object().ok_or("a Secret without stringData")?;
                    let data =
                        data.iter().map(|(key, value)| Ok((key.clone(), text_at(value, "")?.to_owned())));
                    self.secrets.insert(identity(value)?, data.collect::<Result<_>>()?);
                }
                Some("ExternalSecret") => self.external_secret(value, documents)?,
                Some("VaultStaticSecret") => self.vault_static_secret(value, documents)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The External Secrets Operator.
    fn external_secret(&mut self, value: &Value, documents: &[Document]) -> Result<()> {
        let (namespace, _) = identity(value)?;
        let store = text_at(value, "/spec/secretStoreRef/name")?;
        let store = referred(documents, "SecretStore", &namespace, store)?;
        let vault = &store["spec"]["provider"]["vault"];
        let account = text_at(vault, "/auth/kubernetes/serviceAccountRef/name")?;
        referred(documents, "ServiceAccount", &namespace, account)?;
        let mut data = BTreeMap::new();
        for source in list_at(value, "/spec/dataFrom") {
            data.extend(self.read_vault(text_at(vault, "/path")?, text_at(source, "/extract/key")?)?);
        }
        self.secrets.insert((namespace, text_at(value, "/spec/target/name")?.to_owned()), data);
        Ok(())
    }

    /// The Vault Secrets Operator.
    fn vault_static_secret(&mut self, value: &Value, documents: &[Document]) -> Result<()> {
        let (namespace, _) = identity(value)?;
        let auth = referred(documents, "VaultAuth", &namespace, text_at(value, "/spec/vaultAuthRef")?)?;
        let account = text_at(auth, "/spec/kubernetes/serviceAccount")?;
        referred(documents, "ServiceAccount", &namespace, account)?;
        let data = self.read_vault(text_at(value, "/spec/mount")?, text_at(value, "/spec/path")?)?;
        if value.pointer("/spec/destination/transformation/excludeRaw") != Some(&Value::Bool(true)) {
            return Err("the Secret would hold a copy of the whole entry".into());
        }
        for target in list_at(value, "/spec/rolloutRestartTargets") {
            let is_it = |found: &Document| {
                found.value["kind"] == target["kind"] && found.value["metadata"]["name"] == target["name"]
            };
            if !documents.iter().any(is_it) {
                return Err(format!("nothing to restart: {target}").into());
            }
        }
        let name = (namespace, text_at(value, "/spec/destination/name")?.to_owned());
        if self.secrets.contains_key(&name) && value["spec"]["destination"]["overwrite"] != true {
            return Err(format!("not the owner of the destination Secret {name:?}").into());
        }
        self.secrets.insert(name, data);
        Ok(())
    }

    fn read_vault(&self, mount: &str, path: &str) -> Result<BTreeMap<String, String>> {
        let path = format!("{mount}/{path}");
        Ok(self.vault.get(&path).cloned().ok_or_else(|| format!("the vault has no {path}"))?)
    }

    /// The environment that a list of `env` makes. What is absent and not optional keeps the container from starting.
    pub fn environment(&self, namespace: &str, env: &[Value]) -> Result<Vec<(String, String)>> {
        let mut environment = Vec::new();
        for variable in env {
            let name = text_at(variable, "/name")?.to_owned();
            let Some(reference) = variable.pointer("/valueFrom/secretKeyRef") else {
                environment.push((name, text_at(variable, "/value")?.to_owned()));
                continue;
            };
            let (secret, key) = (text_at(reference, "/name")?, text_at(reference, "/key")?);
            let found = self.secrets.get(&(namespace.to_owned(), secret.to_owned()));
            match found.and_then(|secret| secret.get(key)) {
                Some(value) => environment.push((name, value.clone())),
                None if reference["optional"] == true => {}
                None => {
                    return Err(
                        format!("CreateContainerConfigError: no {key} in {namespace}/{secret}").into()
                    );
                }
            }
        }
        Ok(environment)
    }

    /// The container of that name in a pod.
    pub fn container(&self, namespace: &str, pod: &Value, name: &str) -> Result<Container> {
        let containers = list_at(pod, "/containers");
        let container = containers.iter().find(|container| container["name"] == name);
        let container = container.ok_or_else(|| format!("no container {name}"))?;
        let mut mounts = Vec::new();
        for mount in list_at(container, "/volumeMounts") {
            let volumes = list_at(pod, "/volumes");
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
            let source = &volume.ok_or("a mount without a volume")?["configMap"];
            let name = (namespace.to_owned(), text_at(source, "/name")?.to_owned());
            match self.config_maps.get(&name) {
                Some(folder) => {
                    mounts.push((text_at(mount, "/mountPath")?.to_owned(), folder.path().to_owned()))
                }
                None if source["optional"] == true => {}
                None => return Err(format!("FailedMount: no ConfigMap {name:?}").into()),
            }
        }
        Ok(Container { environment: self.environment(namespace, list_at(container, "/env"))?, mounts })
    }
}

impl Container {
    /// The same file outside of the container. What is not mounted is not there.
    pub fn outside(&self, path: &str) -> String {
        let found = self.mounts.iter().find_map(|(mount, folder)| {
            let rest = path.strip_prefix(mount)?.strip_prefix('/')?;
            Some(folder.join(rest).to_string_lossy().into_owned())
        });
        found.unwrap_or_else(|| format!("/nonexistent{path}"))
    }
}

/// A resource that another one refers to: it has to be there.
fn referred<'d>(documents: &'d [Document], kind: &str, namespace: &str, name: &str) -> Result<&'d Value> {
    let is_it = |value: &&Value| {
        value["kind"] == kind
            && value["metadata"]["namespace"] == namespace
            && value["metadata"]["name"] == name
    };
    let found = documents.iter().map(|document| &document.value).find(is_it);
    Ok(found.ok_or_else(|| format!("no {kind} {namespace}/{name}"))?)
}
