//! A certificate authority made on the spot, and leafs for the operator and the movers.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

use crate::units::PeerName;

/// An authority that lives as long as the process.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> Result<Authority> {
        let key = KeyPair::generate().context("failed to make a key")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params
            .self_signed(&key)
            .context("failed to sign the authority's certificate")?
            .pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// Writes `ca.crt`, `tls.crt` and `tls.key` for `name` into `directory`, which is made.
    ///
    /// # Errors
    /// When signing or writing fails.
    pub fn write_leaf(&self, name: &PeerName, directory: &Path) -> Result<()> {
        let key = KeyPair::generate().context("failed to make a key")?;
        let mut params = CertificateParams::default();
        let uri = name.to_string().try_into().context("the name is no URI")?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let leaf = params
            .signed_by(&key, &self.issuer)
            .context("failed to sign a certificate")?;
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("ca.crt"), &self.certificate)?;
        std::fs::write(directory.join("tls.crt"), leaf.pem())?;
        std::fs::write(directory.join("tls.key"), key.serialize_pem())?;
        Ok(())
    }
}
