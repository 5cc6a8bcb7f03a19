//! The operator's requests to a hosted core, and its list of changes on the way to a shipment.

use std::sync::{Arc, Mutex, PoisonError};

use crate::link::Net;
use crate::mover_host::MoverHost;
use mover_core::Input;
use mover_core::ship::list::{ExtentList, Offered};
use wire::control::{Refusal, RefusalKind, Request, Response};

/// The list of changes as the operator's requests fill it and a shipment reads it.
pub(super) type SharedList = Arc<Mutex<Option<ExtentList>>>;

impl MoverHost {
    /// Asks for something; the number under which the answer comes.
    pub(super) fn ask(&mut self, request: Request, net: &mut Net, now: u64) -> u64 {
        self.requests += 1;
        self.feed(Input::Request(self.requests, Box::new(request)), net, now);
        self.requests
    }

    /// The answer to what was asked under a number, once it is there.
    pub(super) fn answer_to(&mut self, id: u64) -> Option<Response> {
        self.replies.remove(&id)
    }

    /// The operator sends the next part of its list.
    pub(super) fn next_part(&mut self) {
        if let Some(request) = self.parts.pop_front()
            && self.part(&request).is_none()
        {
            self.parts.push_front(request);
        }
    }

    /// A part of the operator's list; `None` where there is no room for it yet.
    pub(super) fn part(&mut self, request: &Request) -> Option<Response> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let response = match (&mut *list, request) {
            (Some(list), Request::Extents(batch)) => match list.offer(batch) {
                Ok(Offered::Taken) => Response::Accepted,
                Ok(Offered::Full) => return None,
                Err(refusal) => Response::Refused(refusal),
            },
            (
                Some(list),
                Request::ExtentsFailed {
                    cycle,
                    changes,
                    reason,
                },
            ) if list.is(*cycle, *changes) => {
                list.fail(reason);
                Response::Accepted
            }
            _ => Response::Refused(Refusal {
                kind: RefusalKind::OutOfOrder,
                message: "no list of changes is expected".into(),
            }),
        };
        drop(list);
        if let Some(shipping) = &mut self.shipping {
            shipping.wake();
        }
        Some(response)
    }

    pub(super) fn set_list(&mut self, list: Option<ExtentList>) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = list;
    }
}
