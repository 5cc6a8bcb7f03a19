//! One question to a service, asked from any offset.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tower::service_fn;

use crate::changed_blocks::decode::Part;
use crate::changed_blocks::discovery::Service;
use crate::changed_blocks::error::List;
use crate::changed_blocks::proto::snapshot_metadata_client::SnapshotMetadataClient;
use crate::changed_blocks::proto::{GetMetadataAllocatedRequest, GetMetadataDeltaRequest};
use crate::changed_blocks::{MetadataError, SnapshotName, Trust, trust};

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a call may take to begin its answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an idle connection is checked.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The most ranges that one message may have.
const RANGES_PER_MESSAGE_MAX: i32 = 16 * 1024;
/// The largest message, in bytes; a larger one breaks the list. It holds far more ranges than asked
/// for.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Which list of which snapshot, from which service.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) service: Service,
    pub(super) list: List,
    pub(super) snapshot: SnapshotName,
    /// The base's handle, for a delta.
    pub(super) base: String,
}

/// The messages of one attempt.
pub(super) type Parts = BoxStream<'static, Result<Part, Status>>;

impl Question {
    /// Connects to the service.
    pub(super) async fn connect(&self) -> Result<Channel, MetadataError> {
        let Service {
            driver, address, ..
        } = &self.service;
        let failed = |e: tonic::transport::Error| {
            // The cause is all that is of use in tonic's error.
            let cause = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
            MetadataError::new(
                Trust::Later,
                format!(
                    "the SnapshotMetadataService of {driver} at {address} can't be reached: {cause}"
                ),
            )
        };
        let tls = trust::client_of(&self.service.ca_pem).map_err(|why| {
            let because = format!("the caCert of the service of {driver} can't be used: {why}");
            MetadataError::new(Trust::Later, because)
        })?;
        let connector = TlsConnector::from(Arc::new(tls));
        // TLS is ours and not tonic's, whose verifier can't be chosen; so tonic connects as if there
        // were none, and requests name the origin that they would have.
        let origin = format!("https://{address}").parse().map_err(|_| {
            let because = format!("{address}, where the service of {driver} is, is no address");
            MetadataError::new(Trust::Later, because)
        })?;
        Endpoint::from_shared(format!("http://{address}"))
            .map_err(failed)?
            .origin(origin)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .connect_with_connector(service_fn(move |uri| secured(connector.clone(), uri)))
            .await
            .map_err(failed)
    }

    /// Asks for what ends behind `from`.
    pub(super) async fn ask(
        &self,
        channel: Channel,
        token: String,
        from: u64,
    ) -> Result<Parts, Status> {
        let mut client =
            SnapshotMetadataClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let starting_offset = i64::try_from(from)
            .map_err(|_| Status::out_of_range("the offset is beyond what the service can count"))?;
        let begun = async {
            match self.list {
                List::Allocated => client
                    .get_metadata_allocated(self.allocated(token, starting_offset))
                    .await
                    .map(|r| r.into_inner().map_ok(Part::from).boxed()),
                List::Delta => client
                    .get_metadata_delta(self.delta(token, starting_offset))
                    .await
                    .map(|r| r.into_inner().map_ok(Part::from).boxed()),
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, begun)
            .await
            .unwrap_or_else(|_| Err(late("the answer did not begin", CALL_TIMEOUT)))
    }

    fn allocated(&self, token: String, starting_offset: i64) -> GetMetadataAllocatedRequest {
        GetMetadataAllocatedRequest {
            security_token: token,
            namespace: self.snapshot.namespace.clone(),
            snapshot_name: self.snapshot.name.clone(),
            starting_offset,
            max_results: RANGES_PER_MESSAGE_MAX,
        }
    }

    fn delta(&self, token: String, starting_offset: i64) -> GetMetadataDeltaRequest {
        GetMetadataDeltaRequest {
            security_token: token,
            namespace: self.snapshot.namespace.clone(),
            base_snapshot_id: self.base.clone(),
            target_snapshot_name: self.snapshot.name.clone(),
            starting_offset,
            max_results: RANGES_PER_MESSAGE_MAX,
        }
    }
}

/// A connection to where `uri` names.
async fn secured(
    connector: TlsConnector,
    uri: Uri,
) -> Result<TokioIo<TlsStream<TcpStream>>, std::io::Error> {
    let host = uri.host().unwrap_or_default();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let server = ServerName::try_from(name.to_string()).map_err(std::io::Error::other)?;
    let tcp = TcpStream::connect((name, uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    Ok(TokioIo::new(connector.connect(server, tcp).await?))
}

pub(super) fn late(what: &str, timeout: Duration) -> Status {
    Status::new(
        Code::DeadlineExceeded,
        format!("{what} within {} s", timeout.as_secs()),
    )
}

impl From<super::proto::GetMetadataAllocatedResponse> for Part {
    fn from(message: super::proto::GetMetadataAllocatedResponse) -> Part {
        Part {
            style: message.block_metadata_type,
            capacity: message.volume_capacity_bytes,
            blocks: message.block_metadata,
        }
    }
}

impl From<super::proto::GetMetadataDeltaResponse> for Part {
    fn from(message: super::proto::GetMetadataDeltaResponse) -> Part {
        Part {
            style: message.block_metadata_type,
            capacity: message.volume_capacity_bytes,
            blocks: message.block_metadata,
        }
    }
}
