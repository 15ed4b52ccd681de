//! What a demo prints.

use super::support::http::Request;
use std::net::SocketAddr;

/// A table, as wide as its cells.
pub(crate) fn table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) {
    let rule = std::array::from_fn(|_| String::new());
    let table: Vec<[String; COLUMNS]> = [heading.map(str::to_owned), rule].into_iter().chain(rows).collect();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        table.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    for (index, cells) in table.iter().enumerate() {
        let line: Vec<_> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| if index == 1 { "-".repeat(width) } else { format!("{cell:width$}") })
            .collect();
        println!("{}", line.join("  ").trim_end());
    }
}

/// The command that sends a request.
pub(crate) fn curl(address: SocketAddr, request: &Request) -> String {
    let headers: String = request
        .headers
        .iter()
        .map(|(name, value)| format!(" -H '{name}: {}'", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    format!(
        "curl -i http://{address}{} -H 'host: {}'{headers} --data-raw '{}'",
        request.target,
        request.authority,
        String::from_utf8_lossy(&request.body)
    )
}
