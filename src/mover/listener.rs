//! The one listener: who connects is identified by the name in the certificate.

use tokio::sync::mpsc;

use crate::control::Control;
use crate::runtime::Arrival;
use protocol::units::{PairName, PeerName};
use transport::{Link as _, Listener, Session};

/// Takes connections until the listener or the runtime ends.
pub async fn serve(
    mut listener: Listener,
    pair: PairName,
    control: Control,
    arrivals: mpsc::Sender<Arrival>,
) {
    while let Ok(session) = listener.accept().await {
        match session.peer().clone() {
            PeerName::Operator => {
                let control = control.clone();
                tokio::spawn(async move {
                    if let Err(error) = control.serve(session).await {
                        tracing::info!(%error, "an operator's connection ended");
                    }
                });
            }
            PeerName::Mover { pair: theirs, .. } if theirs == pair => {
                if arrivals
                    .send(Arrival::Accepted(Box::new(session)))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            PeerName::Mover { .. } => turn_away(&session, &pair),
        }
    }
}

fn turn_away(session: &Session, pair: &PairName) {
    tracing::warn!(
        peer = %session.peer(),
        address = %session.address(),
        "turned away a mover of another pair than {pair}"
    );
}
