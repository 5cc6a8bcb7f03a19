//! The labels of the metrics.

use prometheus_client::encoding::EncodeLabelSet;

use protocol::units::PairName;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PairLabels {
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RoleLabels {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) site: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SwitchLabels {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ErrorLabels {
    pub(super) category: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ConditionLabels {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) r#type: String,
    pub(super) status: &'static str,
}

pub(super) fn labels(pair: &PairName) -> PairLabels {
    PairLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
    }
}

pub(super) fn role_labels(pair: &PairName, site: &str) -> RoleLabels {
    RoleLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
        site: site.into(),
    }
}

pub(super) fn switch_labels(pair: &PairName, forced: bool) -> SwitchLabels {
    SwitchLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
        kind: if forced { "Forced" } else { "Planned" },
    }
}

pub(super) fn condition_labels(
    pair: &PairName,
    kind: &str,
    status: &'static str,
) -> ConditionLabels {
    ConditionLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
        r#type: kind.into(),
        status,
    }
}
