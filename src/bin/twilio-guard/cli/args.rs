//! The arguments, as `--help` shows them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Check configurations of the twilio-guard filter and what logs would print, sign webhooks as Twilio does, see why one is
/// refused, and redact logs.
///
/// Exit codes: 0 fine; 1 findings, a refused request or a disagreement; 2 usage or unreadable input.
#[derive(Debug, Parser)]
#[command(name = "twilio-guard", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check configurations: alone, or inside Envoy, Istio and Envoy Gateway YAML
    Check(CheckArgs),
    /// Sign a request as Twilio or SendGrid would
    Sign(SignArgs),
    /// Add an expiry to a callback URL, which the filter enforces
    Mint(MintArgs),
    /// Verify a request, or a file of conformance vectors
    Verify(VerifyArgs),
    /// Redact request targets, or whole access-log lines, from standard input to standard output
    Redact(RedactArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// JSON or YAML, also of several documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Take secrets from the real environment: an absent variable is an error, and keys are checked
    #[arg(long)]
    pub(crate) env: bool,
    /// List every log, span and copy that would still print data of requests as they were sent
    #[arg(long, conflicts_with = "env")]
    pub(crate) leaks: bool,
    /// A header that is free of personal data and may be printed; repeatable
    #[arg(long = "allow-header", value_name = "NAME", requires = "leaks")]
    pub(crate) allowed_headers: Vec<String>,
    /// Exit with 1 for warnings too
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

/// Where the signing secret is. It is never an argument itself: arguments are visible to every user of the machine.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The environment variable that holds the auth token (or shared key) [default: TWILIO_AUTH_TOKEN]
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// A file that holds the auth token (or shared key)
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    pub(crate) token_file: Option<PathBuf>,
    /// The secret is the SharedKey with this id, not an auth token
    #[arg(long, value_name = "ID")]
    pub(crate) shared_key: Option<String>,
    /// The algorithm of the SharedKey
    #[arg(long, requires = "shared_key", default_value = "hmac-sha256")]
    pub(crate) algorithm: MacAlgorithm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MacAlgorithm {
    #[value(name = "hmac-sha1")]
    HmacSha1,
    #[value(name = "hmac-sha256")]
    HmacSha256,
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The public URL of the request, as Twilio requests it
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// The method [default: POST; GET with --websocket]
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A parameter, of the form (POST) or appended to the query (GET); repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", conflicts_with_all = ["form", "body"])]
    pub(crate) params: Vec<String>,
    /// An encoded form body; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    pub(crate) form: Option<PathBuf>,
    /// Any other body, by default JSON; its hash is appended to the URL as bodySHA256; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// The content type of --body [default: application/json]
    #[arg(long, value_name = "TYPE", requires = "body")]
    pub(crate) content_type: Option<String>,
    /// A WebSocket handshake, signed over the wss URL
    #[arg(long, conflicts_with_all = ["params", "form", "body", "sendgrid_key"])]
    pub(crate) websocket: bool,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Sign as SendGrid with the P-256 private key in this file (PEM, or base64 of DER)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token_env", "token_file", "shared_key", "params", "form"])]
    pub(crate) sendgrid_key: Option<PathBuf>,
    /// The timestamp that SendGrid signs: ten digits [default: now]
    #[arg(long, value_name = "SECONDS", requires = "sendgrid_key")]
    pub(crate) timestamp: Option<String>,
    /// Print a curl command that sends the signed request
    #[arg(long)]
    pub(crate) curl: bool,
    /// Where curl connects to, such as http://127.0.0.1:10000, instead of the public URL
    #[arg(long, value_name = "URL", requires = "curl")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MintArgs {
    /// The callback URL as it would be given to Twilio; a fragment stays at its end
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// How long the URL is good for, such as 90s, 10m or 24h
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Duration,
    /// The id of the key, as in mint_keys
    #[arg(long, value_name = "ID", default_value = "m1")]
    pub(crate) key_id: String,
    /// The environment variable that holds the key
    #[arg(long, value_name = "NAME", default_value = "MINT_KEY")]
    pub(crate) key_env: String,
}

/// Digits and one of `s`, `m`, `h`.
fn parse_ttl(text: &str) -> Result<Duration, &'static str> {
    let fault = "write digits and one of s, m and h";
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(fault)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(fault),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(factor));
    seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or(fault)
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The URL of the request
    #[arg(long, value_name = "URL", required_unless_present_any = ["curl", "har", "request", "vectors"])]
    pub(crate) url: Option<String>,
    /// The method [default: POST with a body, else GET]
    #[arg(long, value_name = "METHOD", requires = "url")]
    pub(crate) method: Option<String>,
    /// A header; repeatable
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", requires = "url")]
    pub(crate) headers: Vec<String>,
    /// The raw body; - is standard input
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) body: Option<PathBuf>,
    /// A parameter of a form body; repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "url", conflicts_with = "body")]
    pub(crate) params: Vec<String>,
    /// A pasted curl command; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "har", "request", "vectors"])]
    pub(crate) curl: Option<PathBuf>,
    /// An HTTP archive, as browsers and tunnels record it; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "request", "vectors"])]
    pub(crate) har: Option<PathBuf>,
    /// Which entry of the archive, from 0 [default: the only signed one]
    #[arg(long, value_name = "N", requires = "har")]
    pub(crate) entry: Option<usize>,
    /// A request as JSON, in the shape of a vector or of `sign --json`; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "vectors"])]
    pub(crate) request: Option<PathBuf>,
    /// A file of conformance vectors; each is judged under its own keys
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "config", "token_env", "token_file", "shared_key", "sendgrid_key", "public_url", "explain"])]
    pub(crate) vectors: Option<PathBuf>,
    /// Judge by this configuration (alone or inside YAML), with the secrets of the environment
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token_env", "token_file", "shared_key", "sendgrid_key", "public_url"])]
    pub(crate) config: Option<PathBuf>,
    /// Which configuration, where the file has several: its path as `check` prints it
    #[arg(long, value_name = "PATH", requires = "config")]
    pub(crate) place: Option<String>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Verify as SendGrid with the public key in this file (base64 of DER, as SendGrid shows it)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token_env", "token_file", "shared_key"])]
    pub(crate) sendgrid_key: Option<PathBuf>,
    /// Scheme, host and prefix as entered at Twilio [default: those of the URL]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// The peer of the connection as IP or IP:PORT, for a configuration with trusted_peers
    #[arg(long, value_name = "ADDRESS", requires = "config")]
    pub(crate) peer: Option<String>,
    /// Say what would have matched
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RedactArgs {
    /// Lines are of an access log (text of Envoy, Istio, nginx or Apache, name=value, JSON), not request targets
    #[arg(long)]
    pub(crate) log_line: bool,
    /// Redact as this configuration says (alone or inside YAML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which configuration, where the file has several: its path as `check` prints it
    #[arg(long, value_name = "PATH", requires = "config")]
    pub(crate) place: Option<String>,
    /// Redact as this route of the configuration says [default: as its top level says]
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) route: Option<String>,
    /// The environment variable that holds the key of pseudonyms, at least 32 bytes
    #[arg(long, value_name = "NAME")]
    pub(crate) hash_key_env: Option<String>,
    /// A file of conformance vectors; each is redacted with its own key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["log_line", "config", "hash_key_env"])]
    pub(crate) vectors: Option<PathBuf>,
}
