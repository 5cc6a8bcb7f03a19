//! The objects that people apply: CRD types, conditions and reasons. Depends on `units`.
