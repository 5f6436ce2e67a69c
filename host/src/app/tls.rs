//! Owns the server's certificate: read at the start, and again when its files change.
//! Must not know what is served.

use crate::config::Tls;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often it is looked whether the files changed.
const POLL: Duration = Duration::from_secs(3);

/// A certificate with its key, and the files that they come from.
pub struct Certificate {
    files: Tls,
    config: RustlsConfig,
    read: Stamps,
}

/// By what a change of the files is noticed: time and size of both. What cannot be read has none.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// Which files cannot be used, and why.
    pub async fn load(files: &Tls) -> Result<Self, String> {
        let read = stamps(files).await;
        let config = RustlsConfig::from_pem_file(&files.certificate, &files.key).await;
        let config = config.map_err(|error| fault(files, &error))?;
        offer_http1(&config);
        Ok(Self { files: files.clone(), config, read })
    }

    /// What makes encrypted connections of plain ones.
    pub fn acceptor(&self) -> RustlsAcceptor {
        RustlsAcceptor::new(self.config.clone())
    }

    /// Reads the files again whenever they change; runs until it is dropped. Connections that are open stay as they are.
    pub async fn watch(mut self) {
        loop {
            tokio::time::sleep(POLL).await;
            self.look().await;
        }
    }

    /// Takes changed files, unless they are faulty: then the old certificate stays, and the next change is another try.
    async fn look(&mut self) {
        let found = stamps(&self.files).await;
        if found == self.read {
            return;
        }
        self.read = found;
        match self.config.reload_from_pem_file(&self.files.certificate, &self.files.key).await {
            Ok(()) => {
                offer_http1(&self.config);
                tracing::info!("took the new certificate {}", self.files.certificate.display());
            }
            Err(error) => tracing::warn!("the old certificate stays: {}", fault(&self.files, &error)),
        }
    }
}

/// RFC 7301: what is offered is what is served.
fn offer_http1(config: &RustlsConfig) {
    let mut inner = (*config.get_inner()).clone();
    inner.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.reload_from_config(Arc::new(inner));
}

fn fault(files: &Tls, error: &std::io::Error) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    format!("the certificate {certificate} and the key {key} cannot be used together ({error}); both must be PEM")
}

async fn stamps(files: &Tls) -> Stamps {
    let stamp = |found: Metadata| Some((found.modified().ok()?, found.len()));
    let (certificate, key) = (files.certificate.clone(), files.key.clone());
    let of = move |path: &Path| path.metadata().ok().and_then(stamp);
    let looking = tokio::task::spawn_blocking(move || [of(&certificate), of(&key)]);
    looking.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    /// A new key and a certificate of it.
    fn write(files: &Tls) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-keyout"])
            .arg(&files.key)
            .arg("-out")
            .arg(&files.certificate)
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    #[tokio::test]
    async fn a_new_certificate_is_taken_and_a_faulty_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Tls { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        assert!(Certificate::load(&files).await.is_err_and(|fault| fault.contains("c.pem")));
        write(&files);
        let mut certificate = Certificate::load(&files).await.expect("usable");
        let current = |certificate: &Certificate| certificate.config.get_inner();
        let first = current(&certificate);
        certificate.look().await;
        assert!(Arc::ptr_eq(&first, &current(&certificate)), "nothing changed");
        fs::write(&files.certificate, "faulty").expect("written");
        certificate.look().await;
        assert!(Arc::ptr_eq(&first, &current(&certificate)), "the old one stays");
        write(&files);
        certificate.look().await;
        let second = current(&certificate);
        assert!(!Arc::ptr_eq(&first, &second));
        let old_key = fs::read(&files.key).expect("read");
        write(&files);
        fs::write(&files.key, [old_key, b"\n".to_vec()].concat()).expect("written");
        certificate.look().await;
        assert!(Arc::ptr_eq(&second, &current(&certificate)), "a key of another certificate");
    }
}
