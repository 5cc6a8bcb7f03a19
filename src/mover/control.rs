//! The operator's connection: requests in order, each with one response.
//!
//! Status is answered here, so that it can be waited for, and so are the parts of the list of changes,
//! which wait for room. Everything else goes to the core, which owns the state.

use tokio::sync::{mpsc, oneshot};

use crate::runtime::Arrival;
use crate::ship::extent_feed::ExtentFeed;
use crate::status::StatusReader;
use mover_core::translate;
use protocol::units::SiteName;
use transport::Session;
use transport::{FrameReader, FrameWriter};
use wire::control::{Refusal, RefusalKind, Request, Response};
use wire::{Asked, Message, WireError, decode, encode};

/// What every control connection needs.
#[derive(Clone, Debug)]
pub struct Control {
    /// Our site, for the greeting.
    pub site: SiteName,
    /// To the runtime.
    pub arrivals: mpsc::Sender<Arrival>,
    /// What is shown.
    pub status: StatusReader,
    /// The list under way.
    pub feed: ExtentFeed,
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
        let hello = translate::wire_hello(&self.site, None, 0, None);
        writer
            .send(&encode(Message::Hello(Box::new(hello)))?)
            .await?;
        while let Some(frame) = reader.next().await? {
            let asked = match decode(frame)? {
                Message::Hello(_) => {
                    reader.after_hello();
                    continue;
                }
                Message::Ping(n) => {
                    writer.send(&encode(Message::Pong(n))?).await?;
                    continue;
                }
                Message::Request(asked) => *asked,
                other => {
                    tracing::warn!(message = ?other, "the operator sent something that is no request");
                    return Ok(());
                }
            };
            let response = self.answer(asked).await;
            writer
                .send(&encode(Message::Response(Box::new(response)))?)
                .await?;
        }
        Ok(())
    }

    async fn answer(&mut self, asked: Asked) -> Response {
        let trace = asked.trace;
        match asked.request {
            Request::Status { after, wait_ms } => {
                Response::Status(Box::new(self.status.above(after, wait_ms).await))
            }
            Request::Extents(batch) => answer_of(self.feed.push(batch).await),
            Request::ExtentsFailed {
                cycle,
                changes,
                reason,
            } => answer_of(self.feed.fail(cycle, changes, &reason)),
            request => self.ask(Asked { trace, request }).await,
        }
    }

    async fn ask(&self, asked: Asked) -> Response {
        let (reply, response) = oneshot::channel();
        let sent = self
            .arrivals
            .send(Arrival::Request(Box::new(asked), reply))
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

fn answer_of(result: Result<(), Refusal>) -> Response {
    result.map_or_else(Response::Refused, |()| Response::Accepted)
}
