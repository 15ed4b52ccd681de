//! The example files, with the values changed that they ask to change.

use serde_json::Value;

use crate::support::{Result, module, project_root, sign};

/// What the files have in place of the values that a user has to give.
pub const HOST: &str = "hooks.example.org";
pub const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const TOKEN: &str = "REPLACE_ME";

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file's name.
    pub file: String,
    /// Its content.
    pub value: Value,
}

/// A folder of examples.
#[derive(Clone, Debug)]
pub struct Folder(pub Vec<Document>);

/// The values of a user.
#[derive(Clone, Debug)]
pub struct Values {
    /// The host of the public URL.
    pub host: String,
    /// The account.
    pub account: String,
    /// The hash of the module.
    pub digest: String,
    /// The auth token in the Secret.
    pub token: String,
}

impl Values {
    /// Other ones than those in the files.
    pub fn own() -> Result<Self> {
        let module = std::fs::read(module::path()?)?;
        Ok(Self {
            host: "webhooks.clinic.example".to_owned(),
            account: "ACfedcba9876543210fedcba9876543210".to_owned(),
            digest: sign::body_sha256(&module),
            token: "00112233445566778899aabbccddeeff".to_owned(),
        })
    }
}

/// The text of a file.
pub fn text(path: &str) -> Result<String> {
    Ok(std::fs::read_to_string(project_root().join(path)).map_err(|error| format!("{path}: {error}"))?)
}

/// The names of the files of a folder, sorted.
pub fn names(folder: &str) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(project_root().join(folder))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

impl Folder {
    /// These files of a folder, with a user's values. All that a user changes is changed by replacing text.
    pub fn open(folder: &str, files: &[&str], values: &Values) -> Result<Self> {
        let mut documents = Vec::new();
        for file in files {
            documents.extend(Self::parse(file, &text(&format!("{folder}/{file}"))?, values)?.0);
        }
        Ok(Self(documents))
    }

    /// A file with the `# ` taken away from before `key`, as it says that one may.
    pub fn uncommented(folder: &str, file: &str, key: &str, values: &Values) -> Result<Self> {
        let text = text(&format!("{folder}/{file}"))?;
        let commented = format!("# {key}: ");
        if text.matches(&commented).count() != 1 {
            return Err(format!("{file} does not offer {key}").into());
        }
        Self::parse(file, &text.replace(&commented, &format!("{key}: ")), values)
    }

    fn parse(file: &str, text: &str, values: &Values) -> Result<Self> {
        let text = text
            .replace(HOST, &values.host)
            .replace(ACCOUNT, &values.account)
            .replace(DIGEST, &values.digest)
            .replace(TOKEN, &values.token);
        let parsed: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| format!("{file}: {error}"))?;
        let document = |value| Document { file: file.to_owned(), value };
        Ok(Self(parsed.into_iter().map(document).collect()))
    }

    /// Every document of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|document| &document.value).filter(move |value| value["kind"] == kind)
    }

    /// The only document of a kind.
    pub fn one(&self, kind: &str) -> Result<&Value> {
        let mut found = self.of_kind(kind);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(format!("there is no {kind}").into()),
            (Some(_), Some(_)) => Err(format!("there are several of {kind}").into()),
        }
    }

    /// The file without a kind that has this key, such as values of a Helm chart.
    pub fn values(&self, key: &str) -> Result<&Value> {
        let mut found = self.0.iter().map(|document| &document.value);
        let found = found.find(|value| value["kind"].is_null() && !value[key].is_null());
        Ok(found.ok_or_else(|| format!("no file has {key}"))?)
    }

    /// The same with another text, of the documents as JSON, in the one place where it stands.
    pub fn replace(mut self, text: &str, other: &str) -> Result<Self> {
        let mut places = 0;
        for document in &mut self.0 {
            let json = document.value.to_string();
            places += json.matches(text).count();
            document.value = serde_json::from_str(&json.replace(text, other))?;
        }
        if places == 1 { Ok(self) } else { Err(format!("{text} stands in {places} places").into()) }
    }

    /// The same with a change to every document.
    pub fn edit(mut self, mut edit: impl FnMut(&mut Value)) -> Self {
        self.0.iter_mut().for_each(|document| edit(&mut document.value));
        self
    }
}

/// The text at a place that has to have one.
pub fn text_at<'v>(value: &'v Value, pointer: &str) -> Result<&'v str> {
    Ok(value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("no text at {pointer} in {value}"))?)
}

/// The elements at a place; none where there is nothing.
pub fn list_at<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Name and namespace of a resource.
pub fn identity(value: &Value) -> Result<(String, String)> {
    Ok((text_at(value, "/metadata/namespace")?.to_owned(), text_at(value, "/metadata/name")?.to_owned()))
}

/// Whether labels have all that a selector asks for. One that asks for nothing is a mistake here.
pub fn selects(selector: &Value, labels: &Value) -> Result<bool> {
    let selector = selector.as_object().filter(|selector| !selector.is_empty());
    Ok(selector.ok_or("a selector without labels")?.iter().all(|(name, value)| labels[name] == *value))
}
