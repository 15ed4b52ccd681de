//! What is promised, and the tests that prove it.

use crate::support::{Result, project_root, since};

/// One column of the table.
pub struct Promise {
    /// Its heading.
    pub name: &'static str,
    /// The tests: a file, a folder or one function, as paths of modules that begin with the test's crate.
    pub tests: &'static [&'static str],
    /// The first minor version of Envoy on which it holds. On older ones the same tests prove that it does not.
    pub since: u32,
}

/// Any version that is supported.
const ALWAYS: u32 = 0;

/// All of them.
pub const PROMISES: [Promise; 11] = [
    Promise {
        name: "head and body held",
        tests: &["e2e::wire", "e2e::operations::refusals", "e2e::operations::hold_body", "quickstart"],
        since: ALWAYS,
    },
    Promise {
        name: "fails closed, `FAIL_RELOAD` too",
        tests: &[
            "e2e::operations::start_up",
            "e2e::operations::updates::a_faulty_update_is_rejected_and_the_old_configuration_keeps_serving",
            "leaks::nothing_leaks",
        ],
        since: ALWAYS,
    },
    Promise {
        name: "default logs redacted",
        tests: &["leaks", "e2e::operations::log_view", "hardened::logs", "cli::leaks::truth"],
        since: ALWAYS,
    },
    Promise {
        name: "spans redacted",
        tests: &[
            "leaks::nothing_leaks",
            "leaks::settings::headers_that_tracing_believes_have_to_be_removed",
            "leaks::settings::span_tags_close_what_the_filter_does_not_see_and_grpc",
            "hardened::logs::spans_carry_nothing_but_the_redacted_url",
        ],
        since: ALWAYS,
    },
    Promise { name: "replay windows", tests: &["e2e::replay"], since: ALWAYS },
    Promise {
        name: "rotation by configuration",
        tests: &[
            "e2e::operations::updates::a_rotated_token_takes_effect_and_requests_finish_under_the_configuration_they_began_with",
            "e2e::operations::updates::updates_under_load_lose_no_genuine_request",
        ],
        since: ALWAYS,
    },
    Promise {
        name: "rotation by variable alone",
        tests: &[
            "e2e::operations::updates::a_token_that_is_rotated_in_a_variable_takes_effect_with_a_new_vm",
        ],
        since: since::NEW_VM_FOR_VARIABLES,
    },
    Promise {
        name: "observe mode lets slow bodies through",
        tests: &["e2e::wire::pace::an_observed_body_that_does_not_end_in_time_is_let_through"],
        since: since::LATE_BODIES,
    },
    Promise { name: "WebSocket upgrades", tests: &["e2e::wire::upgrades"], since: ALWAYS },
    Promise { name: "SendGrid, by the host's crypto", tests: &["e2e::schemes::sendgrid"], since: ALWAYS },
    Promise { name: "`hardened.yaml` as it stands", tests: &["hardened"], since: since::HARDENED_FILE },
];

impl Promise {
    /// Whether a test, named with its crate, is one of its own.
    pub fn is_proven_by(&self, test: &str) -> bool {
        self.tests
            .iter()
            .any(|own| test.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
    }
}

/// Whether the tests have such a file, folder or function.
pub fn exists(test: &str) -> Result<bool> {
    let place = |path: &str| project_root().join("tests").join(path.replace("::", "/"));
    if place(test).is_dir() || place(test).with_extension("rs").is_file() {
        return Ok(true);
    }
    let Some((module, function)) = test.rsplit_once("::") else { return Ok(false) };
    let file = place(module).with_extension("rs");
    let file = if file.is_file() { file } else { place(module).join("main.rs") };
    Ok(std::fs::read_to_string(file)?.contains(&format!("fn {function}(")))
}
