package cluster

import (
	"path/filepath"

	"ferry.dev/e2e/cluster/internal/layout"
)

// program is one program of a cluster.
type program struct {
	name    string
	command []string
}

// first puts a program before what else runs on the machine: builds and tests
// beside a cluster must not make it miss its own deadlines. containerd is not
// among them, because pods would inherit it.
func first(command []string) []string { return append([]string{"nice", "-n", "-5"}, command...) }

// servers start first; each waits for those that it needs.
func (l lifter) servers(c layout.Cluster) []program {
	return []program{
		{"etcd", first(etcd(c))},
		{"containerd", []string{"containerd", "--config", c.Run("config", "containerd.toml")}},
		{"kube-apiserver", first(l.apiServer(c))},
	}
}

// clients start once the API server is ready: before, it doesn't know yet what
// they may do, and some of them take a refusal for final.
func (l lifter) clients(c layout.Cluster) []program {
	return []program{
		{"kube-controller-manager", first(l.controllerManager(c))},
		{"kube-scheduler", first([]string{l.kube("kube-scheduler"), "--config=" + c.Run("config", "kube-scheduler.yaml")})},
		{"kube-proxy", []string{l.kube("kube-proxy"), "--config=" + c.Run("config", "kube-proxy.yaml")}},
		{"kubelet", first(l.kubelet(c))},
	}
}

func (l lifter) kube(name string) string { return filepath.Join(l.programs.Kube, name) }

// etcd listens only inside the cluster's network namespace. Its folder is in
// memory: a cluster lives as long as the machine is up.
func etcd(c layout.Cluster) []string {
	return []string{
		"etcd", "--name=" + c.Name, "--data-dir=" + c.Data("etcd", "data"), "--log-level=warn",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=" + c.Name + "=http://127.0.0.1:2380",
	}
}

func (l lifter) apiServer(c layout.Cluster) []string {
	return []string{
		l.kube("kube-apiserver"),
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0", "--secure-port=6443", "--advertise-address=" + c.NodeIP,
		"--service-cluster-ip-range=" + c.ServiceSubnet,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + c.Run("pki", "ca.crt"),
		"--tls-cert-file=" + c.Run("pki", "apiserver.crt"), "--tls-private-key-file=" + c.Run("pki", "apiserver.key"),
		"--kubelet-client-certificate=" + c.Run("pki", "kubelet-client.crt"),
		"--kubelet-client-key=" + c.Run("pki", "kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc." + layout.Domain,
		"--service-account-key-file=" + c.Run("pki", "service-accounts.crt"),
		"--service-account-signing-key-file=" + c.Run("pki", "service-accounts.key"),
		"--allow-privileged=true", "--profiling=false", "--event-ttl=30m",
	}
}

func (l lifter) controllerManager(c layout.Cluster) []string {
	kubeconfig := c.Run("config", "kube-controller-manager.kubeconfig")
	return []string{
		l.kube("kube-controller-manager"),
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--root-ca-file=" + c.Run("pki", "ca.crt"),
		"--service-account-private-key-file=" + c.Run("pki", "service-accounts.key"),
		"--cluster-signing-cert-file=" + c.Run("pki", "ca.crt"), "--cluster-signing-key-file=" + c.Run("pki", "ca.key"),
		"--use-service-account-credentials=true", "--leader-elect=false", "--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--attach-detach-reconcile-sync-period=5s", "--pvclaimbinder-sync-period=1s",
		"--flex-volume-plugin-dir=" + c.Kubelet() + "/volume-plugins",
	}
}

func (l lifter) kubelet(c layout.Cluster) []string {
	return []string{
		l.kube("kubelet"),
		"--config=" + c.Run("config", "kubelet.yaml"), "--kubeconfig=" + c.Run("config", "kubelet.kubeconfig"),
		"--root-dir=" + c.Kubelet(), "--cert-dir=" + c.Kubelet() + "/pki",
		"--hostname-override=" + c.Node(), "--node-ip=" + c.NodeIP,
	}
}
