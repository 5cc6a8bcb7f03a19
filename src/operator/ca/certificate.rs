//! Reading certificates.

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The most certificates in one bundle; a longer one is refused.
const BUNDLE_MAX: usize = 32;

/// What a certificate says.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) pem: String,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) uris: Vec<String>,
    pub(super) is_ca: bool,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    public_key: Vec<u8>,
}

impl Facts {
    /// Whether the certificate is of this key.
    pub(super) fn is_of_key(&self, key: &KeyPair) -> bool {
        self.public_key == key.subject_public_key_info()
    }
}

/// The facts of the one certificate in `pem`.
pub(super) fn facts(pem: &str) -> Result<Facts, String> {
    let mut all = all_facts(pem)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err("there is more than one certificate".into()),
        (None, _) => Err("there is no certificate".into()),
    }
}

/// The facts of every certificate in `pem`.
pub(super) fn all_facts(pem: &str) -> Result<Vec<Facts>, String> {
    let mut all = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        if all.len() == BUNDLE_MAX {
            return Err(format!("there are more than {BUNDLE_MAX} certificates"));
        }
        all.push(parse(&der.map_err(|e| e.to_string())?)?);
    }
    Ok(all)
}

fn parse(der: &CertificateDer<'_>) -> Result<Facts, String> {
    let (_, x509) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
    let names = x509.subject_alternative_name().map_err(|e| e.to_string())?;
    let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|e| e.to_string());
    let uris = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_string()),
            _ => None,
        })
        .collect();
    Ok(Facts {
        pem: to_pem(der),
        subject: x509.subject().as_raw().to_vec(),
        issuer: x509.issuer().as_raw().to_vec(),
        uris,
        is_ca: x509.is_ca(),
        not_before: time(x509.validity().not_before.timestamp())?,
        not_after: time(x509.validity().not_after.timestamp())?,
        public_key: x509.public_key().raw.to_vec(),
    })
}

fn to_pem(der: &[u8]) -> String {
    let text = k8s_openapi::ByteString(der.to_vec());
    // A ByteString is written as base64, which is all that PEM is.
    let base64 = serde_json::to_value(&text).ok();
    let base64 = base64
        .as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
