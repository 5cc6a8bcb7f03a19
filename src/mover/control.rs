//! The operator's connection: requests in order, each with one response.
//!
//! Status is answered here, without asking the loop, so that it can be waited for. Everything else
//! goes through the loop, which owns the state.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::convert;
use crate::run::Input;
use crate::source::list::ListFeed;
use crate::status::StatusReader;
use protocol::units::SiteName;
use transport::Session;
use transport::{FrameReader, FrameWriter};
use wire::control::{ExtentBatch, Refusal, RefusalKind, Request, Response};
use wire::{Message, WireError, decode, encode};

/// Where control connections find the list of the cycle under way, if it takes one.
pub type FeedSlot = Arc<Mutex<Option<Arc<ListFeed>>>>;

/// What every control connection needs.
#[derive(Clone, Debug)]
pub struct Control {
    /// Our site, for the greeting.
    pub site: SiteName,
    /// To the loop.
    pub inputs: mpsc::Sender<Input>,
    /// What is shown.
    pub status: StatusReader,
    /// The list under way.
    pub feed: FeedSlot,
}

impl Control {
    /// Serves one connection to its end.
    ///
    /// # Errors
    /// When the connection breaks or the operator says something that may not be said here.
    pub async fn serve(mut self, session: Session) -> Result<(), WireError> {
        let (read_half, write_half) = tokio::io::split(session);
        let mut reader = FrameReader::new(read_half);
        let mut writer = FrameWriter::new(write_half);
        let hello = convert::wire_hello(&self.site, None, 0, None);
        writer
            .send(&encode(Message::Hello(Box::new(hello)))?)
            .await?;
        while let Some(frame) = reader.next().await? {
            let request = match decode(frame)? {
                Message::Hello(_) => {
                    reader.after_hello();
                    continue;
                }
                Message::Ping(n) => {
                    writer.send(&encode(Message::Pong(n))?).await?;
                    continue;
                }
                Message::Request(request) => *request,
                other => {
                    tracing::warn!(message = ?other, "the operator sent something that is no request");
                    return Ok(());
                }
            };
            let response = self.answer(request).await;
            writer
                .send(&encode(Message::Response(Box::new(response)))?)
                .await?;
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request) -> Response {
        match request {
            Request::Status { after, wait_ms } => {
                Response::Status(Box::new(self.status.above(after, wait_ms).await))
            }
            Request::Extents(batch) => self.extents(batch).await,
            Request::ExtentsFailed { cycle, reason } => {
                let feed = self
                    .feed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                match feed {
                    Some(feed) if feed.cycle() == cycle => {
                        feed.fail(&reason).await;
                        Response::Accepted
                    }
                    _ => no_list(),
                }
            }
            other => self.order(other).await,
        }
    }

    async fn extents(&self, batch: ExtentBatch) -> Response {
        let feed = self
            .feed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(feed) = feed else {
            return no_list();
        };
        match feed.push(batch).await {
            Ok(()) => Response::Accepted,
            Err(refusal) => Response::Refused(refusal),
        }
    }

    async fn order(&self, request: Request) -> Response {
        let (reply, response) = oneshot::channel();
        let sent = self
            .inputs
            .send(Input::Order(Box::new(request), reply))
            .await;
        match (sent, response.await) {
            (Ok(()), Ok(response)) => response,
            _ => Response::Refused(Refusal {
                kind: RefusalKind::Aborted,
                message: "the mover is ending: connect again once it has restarted".into(),
            }),
        }
    }
}

fn no_list() -> Response {
    Response::Refused(Refusal {
        kind: RefusalKind::OutOfOrder,
        message: "no list of changes is expected: order Ship with one first".into(),
    })
}
