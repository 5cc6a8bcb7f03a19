//! The one place that writes YAML, so that the library behind it can be exchanged.

use serde::Serialize;

/// `value` as a YAML document.
///
/// # Errors
/// When the value has keys that YAML can't hold.
pub fn to_string(value: &impl Serialize) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(value)
}
