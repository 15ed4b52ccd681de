//! Every example of docs/cli.md prints what it says there.

use std::path::Path;
use std::process::Command;

use super::root;

/// The commands of the `console` blocks, each with its output.
fn examples(text: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let mut continues = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                examples.push((command.to_owned(), String::new()));
            } else if continues {
                let command = &mut examples.last_mut().expect("a command").0;
                *command = format!("{command}\n{line}");
            } else {
                let output = &mut examples.last_mut().expect("a command before its output").1;
                output.push_str(line);
                output.push('\n');
            }
            continues = line.ends_with('\\');
        }
    }
    examples
}

#[test]
fn every_example_of_the_documentation_prints_what_it_says() {
    let text = std::fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let examples = examples(&text);
    assert!(examples.len() >= 8, "{}", examples.len());
    let folder = Path::new(env!("CARGO_BIN_EXE_twilio-guard")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    for (command, expected) in examples {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .env("PATH", format!("{}:{path}", folder.display()))
            .env_remove("TWILIO_AUTH_TOKEN")
            .current_dir(root())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "$ {command}");
    }
}
