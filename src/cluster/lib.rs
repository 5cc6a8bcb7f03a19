//! What the operator and the plugin both read from an API server.

mod error;
mod rebind_view;

pub use error::{Error, failed, is_conflict, is_not_found};
pub use rebind_view::rebind_view;
