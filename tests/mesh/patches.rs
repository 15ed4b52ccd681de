//! How Envoy Gateway applies the patches of an `EnvoyPatchPolicy`, written after `internal/utils/jsonpatch` of 1.9: a JSON path
//! selects nodes, the pointer is continued from each of them, and missing parents are made.

use serde_json::{Value, json};
use serde_json_path::JsonPath;

use crate::documents::{list_at, text_at};
use crate::support::Result;

/// Applies the patches of a policy to a listener.
pub fn apply(policy: &Value, listener: &mut Value) -> Result<()> {
    for patch in list_at(policy, "/spec/jsonPatches") {
        if text_at(patch, "/type")? != "type.googleapis.com/envoy.config.listener.v3.Listener" {
            return Err("only listeners are simulated".into());
        }
        if patch["name"] != listener["name"] {
            continue;
        }
        let operation = &patch["operation"];
        let path = text_at(operation, "/path")?.trim_start_matches('/');
        let selected = match operation["jsonPath"].as_str() {
            Some(query) => selected(query, listener)?,
            None => vec![String::new()],
        };
        for node in selected {
            let pointer = format!("{node}/{path}");
            make_parents(listener, &pointer)?;
            let patch = json!([{"op": operation["op"], "path": pointer, "value": operation["value"]}]);
            json_patch::patch(listener, &serde_json::from_value::<json_patch::Patch>(patch)?)?;
        }
    }
    Ok(())
}

fn selected(query: &str, listener: &Value) -> Result<Vec<String>> {
    // Envoy Gateway's library leaves the dollar sign to the reader.
    let path = JsonPath::parse(&format!("${query}"))?;
    Ok(path.query_located(listener).locations().map(|location| location.to_json_pointer()).collect())
}

fn make_parents(root: &mut Value, pointer: &str) -> Result<()> {
    let segments: Vec<_> = pointer.split('/').skip(1).collect();
    for count in 1..segments.len() {
        let parent = format!("/{}", segments[..count].join("/"));
        if root.pointer(&parent).is_none() {
            let patch = json!([{"op": "add", "path": parent, "value": {}}]);
            json_patch::patch(root, &serde_json::from_value::<json_patch::Patch>(patch)?)?;
        }
    }
    Ok(())
}
