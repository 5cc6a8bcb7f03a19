//! One owner, one loop: select → action → apply. Never kube, api or operator.
