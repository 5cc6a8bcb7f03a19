//! A mover's pod: bare, without a Kubernetes token, without capabilities, on a read-only root.
//!
//! It runs as uid 0 because the node of a raw block volume is owned by uid 0 with mode 0600; with
//! every capability dropped that uid can do nothing else. The state volume's root directory
//! belongs to uid 0 as well, so no fsGroup, and no recursive chown at each start, is needed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, LocalObjectReference,
    PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, Toleration, Volume, VolumeDevice,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::decide::Device;
use crate::observe::Replica;
use crate::render::{MoverTemplate, PairRef, Part};
use api::names;
use protocol::units::SiteName;

/// The port of a mover's one listener.
pub const MOVER_PORT: i32 = 7400;
/// Where the volume is in the pod.
const DEVICE_PATH: &str = "/dev/ferry/volume";
/// Where the state volume is mounted.
const META_PATH: &str = "/var/lib/ferry";
/// Where the certificate is mounted.
const TLS_PATH: &str = "/etc/ferry/tls";
/// Seconds between SIGTERM and SIGKILL: what is durable is durable, and a mover needs no more.
const GRACE_SECONDS: i64 = 5;
/// Memory beside the mover's own budget: the program, its stacks and TLS buffers, in bytes.
const OVERHEAD_BYTES: u64 = 128 << 20;

/// How movers are run, from the operator's command line.
#[derive(Clone, Debug, PartialEq)]
pub struct MoverSettings {
    /// The image.
    pub image: String,
    /// When the image is pulled: `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Secrets for pulling it.
    pub image_pull_secrets: Vec<String>,
    /// The mover's memory budget in bytes.
    pub memory_bytes: u64,
    /// CPU requested, such as `100m`.
    pub cpu_request: String,
    /// Priority class of the pods.
    pub priority_class: Option<String>,
    /// Node selector of the pods.
    pub node_selector: BTreeMap<String, String>,
    /// Log filter, as `FERRY_LOG` takes it.
    pub log: String,
    /// What else is set on the pods.
    pub template: MoverTemplate,
}

/// The pod of the mover at `site`.
#[must_use]
pub fn mover_pod(
    pair: &PairRef,
    site: &SiteName,
    device: &Device,
    replica: &Replica,
    settings: &MoverSettings,
) -> Pod {
    let name = names::mover(&pair.name, site.as_str());
    let some = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let pod = Pod {
        metadata: pair.meta(name.clone(), site, Part::Mover, None),
        spec: Some(PodSpec {
            restart_policy: Some("Never".into()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            priority_class_name: some(&settings.priority_class),
            node_selector: (!settings.node_selector.is_empty())
                .then(|| settings.node_selector.clone()),
            image_pull_secrets: (!settings.image_pull_secrets.is_empty()).then(|| {
                settings
                    .image_pull_secrets
                    .iter()
                    .map(|name| LocalObjectReference { name: name.clone() })
                    .collect()
            }),
            security_context: Some(PodSecurityContext {
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".into(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container(
                args(pair, site, device, replica, settings),
                device,
                settings,
            )],
            volumes: Some(volumes(pair, site, device, &name)),
            tolerations: Some(vec![not_ready(), unreachable()]),
            ..PodSpec::default()
        }),
        status: None,
    };
    settings.template.on(pod)
}

fn container(args: Vec<String>, device: &Device, settings: &MoverSettings) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    Container {
        name: "mover".into(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.clone()),
        args: Some(args),
        env: Some(vec![
            env("FERRY_LOG_FORMAT", "json"),
            env("FERRY_LOG", &settings.log),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("ferry".into()),
            container_port: MOVER_PORT,
            ..ContainerPort::default()
        }]),
        resources: Some(resources(settings)),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".into()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        volume_devices: device.claim().map(|_| {
            vec![VolumeDevice {
                name: "volume".into(),
                device_path: DEVICE_PATH.into(),
            }]
        }),
        volume_mounts: Some(vec![
            mount("meta", META_PATH, false),
            mount("tls", TLS_PATH, true),
        ]),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

fn args(
    pair: &PairRef,
    site: &SiteName,
    device: &Device,
    replica: &Replica,
    settings: &MoverSettings,
) -> Vec<String> {
    let mut args: Vec<String> = vec!["mover".into()];
    let mut flag = |name: &str, value: String| args.extend([format!("--{name}"), value]);
    flag("site", site.to_string());
    flag("pair", format!("{}/{}", pair.namespace, pair.name));
    flag("meta", META_PATH.into());
    flag("tls", TLS_PATH.into());
    flag("listen", format!("0.0.0.0:{MOVER_PORT}"));
    flag("memory", format!("{}Mi", settings.memory_bytes >> 20));
    if device.claim().is_some() {
        flag("device", DEVICE_PATH.into());
    }
    if matches!(device, Device::Replica(_)) {
        let volume = replica.volume.iter();
        args.extend(volume.map(|volume| format!("--volume={volume}")));
        let doubted = replica.doubted.iter();
        args.extend(doubted.map(|point| format!("--doubted={point}")));
    }
    if matches!(device, Device::Cut(_)) {
        args.push("--read-only".into());
    }
    args
}

fn volumes(pair: &PairRef, site: &SiteName, device: &Device, secret: &str) -> Vec<Volume> {
    let claim = |name: &str, claim: String, read_only: bool| Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim,
            read_only: Some(read_only),
        }),
        ..Volume::default()
    };
    let mut volumes = vec![
        claim("meta", names::state_claim(&pair.name, site.as_str()), false),
        Volume {
            name: "tls".into(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.into()),
                default_mode: Some(0o400),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    if let Some(name) = device.claim() {
        // A read-only claim source would have the driver attach a restored volume read only, which
        // not all can; the mover opens the device read only itself.
        volumes.push(claim("volume", name.into(), false));
    }
    volumes
}

fn resources(settings: &MoverSettings) -> ResourceRequirements {
    let memory = Quantity((settings.memory_bytes + OVERHEAD_BYTES).to_string());
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_string(), Quantity(settings.cpu_request.clone())),
            ("memory".to_string(), Quantity((64_u64 << 20).to_string())),
        ])),
        limits: Some(BTreeMap::from([("memory".to_string(), memory)])),
        claims: None,
    }
}

fn env(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// A node that is lost takes its mover with it soon: another one is started elsewhere.
fn unreachable() -> Toleration {
    toleration("node.kubernetes.io/unreachable")
}

fn not_ready() -> Toleration {
    toleration("node.kubernetes.io/not-ready")
}

fn toleration(key: &str) -> Toleration {
    Toleration {
        key: Some(key.into()),
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        toleration_seconds: Some(30),
        value: None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn pod(device: &Device) -> Pod {
        pod_with(device, MoverTemplate::default())
    }

    /// The mover of `orders` at `west`, with what is set.
    pub(in crate::render) fn pod_with(device: &Device, template: MoverTemplate) -> Pod {
        let pair = PairRef {
            name: "orders".into(),
            namespace: "shop".into(),
            owner: Default::default(),
        };
        let settings = MoverSettings {
            image: "ferry:test".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            memory_bytes: 256 << 20,
            cpu_request: "50m".into(),
            priority_class: None,
            node_selector: BTreeMap::new(),
            log: "info".into(),
            template,
        };
        let replica = Replica {
            volume: "ebs.csi/vol-1".parse().ok(),
            doubted: Some("1.7".into()),
        };
        let site = "west".parse().unwrap();
        mover_pod(&pair, &site, device, &replica, &settings)
    }

    #[test]
    fn a_mover_has_no_token_and_no_power() {
        let spec = pod(&Device::Replica("orders-west-replica".into()))
            .spec
            .unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        let security = spec.containers[0].security_context.clone().unwrap();
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        assert_eq!(security.privileged, None);
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
    }

    #[test]
    fn only_a_source_is_read_only_and_without_a_device_none_is_named() {
        let args = |device| {
            pod(&device).spec.unwrap().containers[0]
                .args
                .clone()
                .unwrap()
        };
        assert!(args(Device::Cut("c".into())).contains(&"--read-only".to_string()));
        assert!(!args(Device::Replica("c".into())).contains(&"--read-only".to_string()));
        assert!(!args(Device::None).contains(&"--device".to_string()));
        // D-3: a standby's mover knows which volume it is on, and who has used it.
        for own in ["--volume=ebs.csi/vol-1", "--doubted=1.7"] {
            let own = own.to_string();
            assert!(args(Device::Replica("c".into())).contains(&own));
            assert!(!args(Device::Cut("c".into())).contains(&own));
        }
        assert!(
            pod(&Device::None).spec.unwrap().containers[0]
                .volume_devices
                .is_none()
        );
    }
}
