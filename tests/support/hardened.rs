//! What `envoy/hardened.yaml` expects around it: names, and the certificates that it reads.

use super::Result;
use super::tls::Authority;
use std::path::Path;

/// The name of the listener's certificate: the host of `public_url`.
pub const HOST: &str = "hooks.example.org";

/// The name that the application's certificate has to have.
pub const APPLICATION: &str = "app.internal.example.org";

/// Who issued what. Two authorities of one name, so that only the key tells them apart.
pub struct Authorities {
    /// Of the listener's certificate; the client trusts it.
    pub public: Authority,
    /// Of the application's and the collector's: `app-ca.crt`.
    pub internal: Authority,
    /// Of the clients' certificates: `client-ca.crt`.
    pub clients: Authority,
    /// That the file does not trust.
    pub foreign: Authority,
}

impl Authorities {
    /// New ones.
    pub fn new() -> Result<Self> {
        Ok(Self {
            public: Authority::new("public")?,
            internal: Authority::new("internal")?,
            clients: Authority::new("clients")?,
            foreign: Authority::new("internal")?,
        })
    }

    /// Writes the files that the configuration names into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let listener = self.public.issue(HOST)?;
        for (name, content) in [
            ("webhooks.crt", listener.certificate_pem.clone()),
            ("webhooks.key", listener.key_pem()),
            ("app-ca.crt", self.internal.pem()),
            ("client-ca.crt", self.clients.pem()),
        ] {
            std::fs::write(folder.join(name), content)?;
        }
        Ok(())
    }
}
