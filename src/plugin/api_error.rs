//! What the API server answered, or why it did not, in the words that kubectl uses.

use std::error::Error;

/// One line for an error of the client: the server's own sentence where it answered, the last cause
/// where it did not.
pub(super) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if is_unknown_path(status) => {
            "the server does not know ReplicationPairs: is Ferry installed in this cluster (kubectl \
             get crd replicationpairs.ferry.dev)?"
                .into()
        }
        kube::Error::Api(status) if status.message.is_empty() => {
            format!("the server answered {} {}", status.code, status.reason)
        }
        kube::Error::Api(status) => status.message.clone(),
        kube::Error::Service(_) => format!("the server can't be reached: {}", root(error)),
        _ => root(error),
    }
}

/// Whether trying again can't help: the server knows no such objects, or this user may not see them.
pub(super) fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}

/// The server answers a path that no API has in plain text, which the client can't read.
fn is_unknown_path(status: &kube::core::Status) -> bool {
    status.code == 404 && status.reason != "NotFound"
}

/// The innermost cause: those around it only repeat it.
fn root(error: &kube::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16, reason: &str, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status {
            code,
            reason: reason.into(),
            message: message.into(),
            ..Status::default()
        }))
    }

    #[test]
    fn a_refusal_is_the_servers_own_sentence_once() {
        let sentence = "replicationpairs.ferry.dev is forbidden: User \"dev\" cannot list resource";
        let refused = answered(403, "Forbidden", sentence);
        assert_eq!(words(&refused), sentence);
        assert!(is_final(&refused));
        assert!(!is_final(&answered(500, "InternalError", "etcd is slow")));
    }

    #[test]
    fn a_missing_crd_is_named_and_a_missing_pair_is_not_taken_for_it() {
        let no_crd = answered(404, "Failed to parse error data", "404 page not found");
        assert!(words(&no_crd).contains("is Ferry installed"));
        assert!(is_final(&no_crd));
        let no_pair = answered(404, "NotFound", "replicationpairs \"x\" not found");
        assert_eq!(words(&no_pair), "replicationpairs \"x\" not found");
    }

    #[test]
    fn a_server_that_is_away_is_named_by_the_last_cause() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = kube::Error::Service(Box::new(refused));
        assert_eq!(
            words(&error),
            "the server can't be reached: connection refused"
        );
    }
}
