//! Peak memory of operator and movers, as their cgroups on this machine tell it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::lab::Lab;
use super::operator;

/// Time between two samples; a cgroup's own peak does not depend on it, only finding the cgroup.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Folders to look into for pods' cgroups, and how deep.
const CGROUP_ROOTS: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
const CGROUP_DEPTH_MAX: usize = 5;

/// The highest amounts seen, in bytes; 0 where nothing could be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// The operator's.
    pub operator: i64,
    /// The largest of any mover's.
    pub mover: i64,
}

/// Looks at the cgroups in the background.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Peaks>,
}

impl Sampler {
    /// Begins to sample the operator and the movers of a namespace.
    #[must_use]
    pub fn start(lab: &Lab, namespace: &str) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let (lab, namespace, flag) = (lab.clone(), namespace.to_owned(), stop.clone());
        let task = tokio::spawn(async move {
            let (peak_operator, peak_mover) = (AtomicI64::new(0), AtomicI64::new(0));
            while !flag.load(Ordering::Relaxed) {
                if let Ok(uid) = operator::uid(&lab).await {
                    peak_operator.fetch_max(peak_of(&uid), Ordering::Relaxed);
                }
                for uid in movers(&lab, &namespace).await {
                    peak_mover.fetch_max(peak_of(&uid), Ordering::Relaxed);
                }
                tokio::time::sleep(SAMPLE_EVERY).await;
            }
            Peaks {
                operator: peak_operator.into_inner(),
                mover: peak_mover.into_inner(),
            }
        });
        Sampler { stop, task }
    }

    /// Ends sampling.
    pub async fn stop(self) -> Peaks {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_default()
    }
}

/// The uids of the movers that run in a namespace.
pub async fn movers(lab: &Lab, namespace: &str) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(lab.client.clone(), namespace);
    let selector = format!("{}=mover", ferry::api::names::PART_LABEL);
    let list = pods.list(&ListParams::default().labels(&selector)).await;
    list.map(|l| l.items.iter().filter_map(ResourceExt::uid).collect())
        .unwrap_or_default()
}

/// Peak of a pod's processes: resident memory of each container, without the page cache.
fn peak_of(uid: &str) -> i64 {
    CGROUP_ROOTS
        .iter()
        .find_map(|root| find(Path::new(root), uid, CGROUP_DEPTH_MAX))
        .map_or(0, |pod| {
            processes(&pod)
                .iter()
                .filter_map(|pid| resident_peak(pid))
                .max()
                .unwrap_or(0)
        })
}

fn find(folder: &Path, uid: &str, depth: usize) -> Option<PathBuf> {
    let dashed = uid.replace('-', "_");
    let entries = std::fs::read_dir(folder).ok()?;
    let folders = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir());
    let mut deeper = Vec::new();
    for path in folders {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.contains(uid) || name.contains(&dashed) {
            return Some(path);
        }
        deeper.push(path);
    }
    if depth == 0 {
        return None;
    }
    deeper.iter().find_map(|path| find(path, uid, depth - 1))
}

/// The processes of a cgroup and those below it.
fn processes(cgroup: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_to_string(cgroup.join("cgroup.procs"))
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap_or_default();
    if let Ok(entries) = std::fs::read_dir(cgroup) {
        for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()) {
            all.extend(processes(&path));
        }
    }
    all
}

/// `VmHWM` of a process: the most memory it ever had resident, in bytes.
fn resident_peak(pid: &str) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
