//! What the documentation offers to copy.

use super::{Result, project_root};
use serde_json::Value;

/// The YAML block of a page that begins with this comment.
pub fn block(page: &str, title: &str) -> Result<Value> {
    let text = std::fs::read_to_string(project_root().join(page))?;
    let start = format!("```yaml\n# {title}\n");
    let (_, block) = text.split_once(&start).ok_or_else(|| format!("{page}: no YAML block {title:?}"))?;
    let (block, _) = block.split_once("```").ok_or("a block without an end")?;
    Ok(serde_saphyr::from_str(block)?)
}
