//! The stream of extents, resumed when it breaks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use tonic::{Code, Status};

use crate::changed_blocks::MetadataError;
use crate::changed_blocks::decode::{Decoder, Part};
use crate::changed_blocks::error::is_resumable;
use crate::changed_blocks::request::{Parts, Question, late};
use crate::changed_blocks::token::Tokens;
use protocol::units::Extent;

/// How often one list is resumed in a row without a single range of progress; then it has broken.
pub const RESUMES_MAX: u32 = 5;
/// The pause before the first resumption; it doubles with each further one in a row.
const RESUME_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 200 });
/// The longest pause between two messages of a list; beyond it the attempt has broken.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Ascending, disjoint extents that do not touch, in batches. The end of the stream without an error
/// proves that the list is whole; nothing else does.
pub struct ExtentStream {
    capacity: Option<u64>,
    extents: BoxStream<'static, Result<Vec<Extent>, MetadataError>>,
}

impl std::fmt::Debug for ExtentStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtentStream")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl ExtentStream {
    /// The capacity of the volume in bytes, as the driver says; `None` when its list is empty.
    #[must_use]
    pub fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    /// Asks, and waits for the first message, so that a service that can't answer is known before
    /// anybody relies on it.
    pub(super) async fn open(
        question: Question,
        tokens: Arc<dyn Tokens>,
        device_bytes: u64,
        base_bytes: u64,
    ) -> Result<ExtentStream, MetadataError> {
        let mut reader = Reader {
            question,
            tokens,
            decoder: Decoder::new(device_bytes, base_bytes),
            parts: None,
            idle_attempts: 0,
            ready: VecDeque::new(),
        };
        let whole = !reader.more().await?;
        Ok(ExtentStream {
            capacity: reader.decoder.capacity(),
            extents: reader.into_stream(whole),
        })
    }
}

impl Stream for ExtentStream {
    type Item = Result<Vec<Extent>, MetadataError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.extents.poll_next_unpin(cx)
    }
}

/// Reads one list, over as many attempts as it takes.
struct Reader {
    question: Question,
    tokens: Arc<dyn Tokens>,
    decoder: Decoder,
    parts: Option<Parts>,
    idle_attempts: u32,
    ready: VecDeque<Vec<Extent>>,
}

impl Reader {
    /// Reads one more message; false at the list's end.
    async fn more(&mut self) -> Result<bool, MetadataError> {
        loop {
            let status = match self.message().await {
                Ok(Some(part)) => {
                    let certain = self.decoder.take(&part)?;
                    if !part.blocks.is_empty() {
                        self.idle_attempts = 0;
                    }
                    if !certain.is_empty() {
                        self.ready.push_back(certain);
                    }
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(Broke::List(error)) => return Err(error),
                Err(Broke::Attempt(status)) => status,
            };
            self.parts = None;
            if status.code() == Code::Unauthenticated {
                self.tokens.forget(&self.question.service.audience);
            }
            if !is_resumable(status.code()) || self.idle_attempts >= RESUMES_MAX {
                let Question { service, list, .. } = &self.question;
                return Err(MetadataError::of_status(&service.driver, *list, &status));
            }
            tracing::debug!(%status, attempt = self.idle_attempts, "a list of extents broke");
            tokio::time::sleep(RESUME_PAUSE * 2_u32.pow(self.idle_attempts)).await;
            self.idle_attempts += 1;
        }
    }

    async fn message(&mut self) -> Result<Option<Part>, Broke> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let from = self.decoder.resume();
                let token = self.tokens.token(&self.question.service.audience);
                let token = token.await.map_err(Broke::List)?;
                let channel = match self.question.connect().await {
                    Ok(channel) => channel,
                    // The first attempt reports at once why the service is unavailable.
                    Err(error) if from == 0 => return Err(Broke::List(error)),
                    Err(error) => {
                        return Err(Broke::Attempt(Status::unavailable(error.because)));
                    }
                };
                let parts = self.question.ask(channel, token, from).await;
                self.parts.insert(parts.map_err(Broke::Attempt)?)
            }
        };
        match tokio::time::timeout(MESSAGE_TIMEOUT, parts.next()).await {
            Ok(next) => next.transpose().map_err(Broke::Attempt),
            Err(_) => Err(Broke::Attempt(late("no message came", MESSAGE_TIMEOUT))),
        }
    }

    fn into_stream(self, whole: bool) -> BoxStream<'static, Result<Vec<Extent>, MetadataError>> {
        let state = (Some(self), whole);
        stream::unfold(state, |(reader, mut whole)| async move {
            let mut reader = reader?;
            loop {
                if let Some(ready) = reader.ready.pop_front() {
                    return Some((Ok(ready), (Some(reader), whole)));
                }
                if whole {
                    let rest = reader.decoder.finish();
                    return (!rest.is_empty()).then_some((Ok(rest), (None, true)));
                }
                match reader.more().await {
                    Ok(more) => whole = !more,
                    Err(error) => return Some((Err(error), (None, false))),
                }
            }
        })
        .boxed()
    }
}

/// What has broken.
enum Broke {
    /// This attempt; another may do better.
    Attempt(Status),
    /// The list.
    List(MetadataError),
}
