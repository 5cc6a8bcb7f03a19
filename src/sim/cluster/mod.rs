//! One simulated cluster on which the planner itself runs: an API server, the controllers that act on
//! its objects, the storage behind them, the application, and whoever interferes.
//!
//! Objects are Kubernetes' own types, so what the planner observes is put together by the operator's
//! own functions, and what it makes is rendered by them. Each controller is a small file with its rule
//! and where the rule is written; each makes one step at a time, chosen by seed, so that every request
//! of steps is possible, and any of them can be slow or stopped.
//!
//! | question | file |
//! |---|---|
//! | What does the API server keep and refuse? | [`server`], `admission` |
//! | What is a handle worth? | [`storage`] |
//! | Who binds claims, makes and deletes volumes? | `volumes` (the planner's `rebind::binder`), `provisioner` |
//! | Who takes snapshots? | `snapshotter` |
//! | Who starts pods, attaches and detaches? | `scheduler`, `workload` |
//! | Which movers run, and what can they do next? | `mover` (their core: `mover_host`) |
//! | What does the operator ask them for? | `requests` |
//! | What does the operator see and do? | `observe`, `perform`, `rebinding`, `reconcile` |
//! | What does the application find? | `app` |
//! | What must hold? | `oracle`, `recorded`, `resent`; at the end `rest` |
//! | What do people ask for, as objects? | `asked` |
//! | What goes wrong, and what do people do? | `faults`, `data_faults`, `data_kinds`, `rot`, `backups`, `people`, `strangers` |
//! | What has been applied before? | `manifests` |
//! | What happens next? | `world`, `run` |

mod admission;
mod app;
mod asked;
mod backups;
mod data_faults;
mod data_kinds;
mod faults;
mod inventory;
mod manifests;
mod mover;

mod observe;
mod oracle;
mod people;
mod perform;
mod provisioner;
mod rebinding;
mod reconcile;
mod recorded;
mod requests;
mod resent;
mod rest;
mod rot;
mod run;
mod scheduler;
pub(crate) mod server;
mod snapshotter;
pub(crate) mod storage;
mod strangers;
#[cfg(test)]
mod tests;
mod volumes;
mod workload;
mod world;

pub use data_kinds::DataFault;
pub use faults::{CLUSTER_FAULTS, ClusterFault};
pub use run::{ClusterFigures, ClusterOptions, ClusterRun, Focus, run_cluster, shows};
