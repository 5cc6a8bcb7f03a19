//! Tokens for a service's audience.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

use crate::changed_blocks::{MetadataError, ServiceAccount, Trust};

/// How long a token is asked for, in seconds: the least that the API server grants.
const TOKEN_SECONDS: i64 = 600;
/// How long it is used.
const TOKEN_USE: Duration = Duration::from_secs(400);

/// Where tokens come from.
pub(super) trait Tokens: Send + Sync {
    /// A token for `audience`.
    fn token<'a>(&'a self, audience: &'a str) -> BoxFuture<'a, Result<String, MetadataError>>;
    /// The service did not take the last one.
    fn forget(&self, audience: &str);
}

/// Tokens of a ServiceAccount, by TokenRequest.
pub(super) struct AccountTokens {
    client: Client,
    account: ServiceAccount,
    kept: Mutex<HashMap<String, (Instant, String)>>,
}

impl AccountTokens {
    pub(super) fn new(client: Client, account: ServiceAccount) -> AccountTokens {
        AccountTokens {
            client,
            account,
            kept: Mutex::new(HashMap::new()),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, String)>> {
        self.kept
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn request(&self, audience: &str) -> Result<String, MetadataError> {
        let fresh = |(since, token): &(Instant, String)| {
            (since.elapsed() < TOKEN_USE).then(|| token.clone())
        };
        if let Some(token) = self.kept().get(audience).and_then(fresh) {
            return Ok(token);
        }
        let ServiceAccount { namespace, name } = &self.account;
        let api: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.into()],
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let since = Instant::now();
        let answer = api
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(|e| {
                MetadataError::new(
                    Trust::Later,
                    format!("ServiceAccount {namespace}/{name} gets no token for {audience}: {e}"),
                )
            })?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        self.kept().insert(audience.into(), (since, token.clone()));
        Ok(token)
    }
}

impl Tokens for AccountTokens {
    fn token<'a>(&'a self, audience: &'a str) -> BoxFuture<'a, Result<String, MetadataError>> {
        Box::pin(self.request(audience))
    }

    fn forget(&self, audience: &str) {
        self.kept().remove(audience);
    }
}
