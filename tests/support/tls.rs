//! TLS with certificates of the test's own: what a certificate authority issues, and a client that trusts it.

use super::client::{Client, Protocol};
use super::{Result, within};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, its chain and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    /// The certificate as a PEM file.
    pub certificate_pem: String,
}

impl Authority {
    /// A new one of that name. Two of the same name differ in their keys.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A certificate for this DNS name.
    pub fn issue(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Identity { chain: vec![certificate.der().clone()], certificate_pem: certificate.pem(), key })
    }

    /// Its own certificate as a PEM file.
    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

impl Identity {
    /// What [`Self::certificate_pem`] and [`Self::key_pem`] were written to.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self> {
        Ok(Self {
            chain: vec![CertificateDer::from_pem_slice(certificate.as_bytes())?],
            key: KeyPair::from_pem(key)?,
            certificate_pem: certificate.to_owned(),
        })
    }

    /// The key as a PEM file.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A server's side of TLS.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(ALL_VERSIONS)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key_der())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A client that trusts one authority and expects one name.
pub struct TlsClient<'a> {
    /// What the server's certificate has to say.
    pub name: &'static str,
    /// Who has to have issued it.
    pub trusted: &'a Authority,
    /// The versions that are offered.
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// The client's own certificate.
    pub identity: Option<&'a Identity>,
}

impl<'a> TlsClient<'a> {
    /// Offers TLS 1.3 and 1.2, without a certificate.
    pub fn new(name: &'static str, trusted: &'a Authority) -> Self {
        Self { name, trusted, versions: ALL_VERSIONS, identity: None }
    }

    /// Opens a connection that is ready for this protocol, which the server has to have chosen by ALPN.
    pub async fn connect(&self, address: SocketAddr, protocol: Protocol) -> Result<Client> {
        Client::over(self.stream(address, protocol).await?, protocol).await
    }

    /// Opens a connection.
    pub async fn stream(&self, address: SocketAddr, protocol: Protocol) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.0.der().clone())?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)?
            .with_root_certificates(roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key_der())?,
        };
        let alpn: &[u8] = if protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![alpn.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let stream = within("a TLS handshake", async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(connector.connect(ServerName::try_from(self.name)?, stream).await?)
        })
        .await?;
        if stream.get_ref().1.alpn_protocol() != Some(alpn) {
            return Err(format!("the server did not choose {protocol:?}").into());
        }
        Ok(stream)
    }
}
