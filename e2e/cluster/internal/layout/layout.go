// Package layout says where everything of the lab lies: names, addresses and
// paths. Nothing else makes up a path.
package layout

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

const (
	// Bridge is the network between the clusters, in the root namespace.
	Bridge = "ferry-lab"
	// BridgeAddress is the machine's own address on it.
	BridgeAddress = "10.200.0.1/24"
	// Domain is the DNS domain of both clusters.
	Domain = "cluster.local"
	// Namespace is where the storage drivers run.
	Namespace = "ferry-csi"
)

// Cluster is one of the two clusters.
type Cluster struct {
	Name   string
	NodeIP string
	// The ranges differ between the clusters, so that an address that leaks
	// from one into the other is seen to be wrong.
	PodSubnet, PodGateway string
	ServiceSubnet         string
	APIServiceIP, DNSIP   string

	runRoot, dataRoot string
}

// Clusters returns both clusters.
func Clusters() []Cluster {
	return []Cluster{newCluster("east", 10, 201), newCluster("west", 20, 211)}
}

// Named returns the clusters with the given names, or both where none is named.
func Named(names []string) ([]Cluster, error) {
	if len(names) == 0 {
		return Clusters(), nil
	}
	var chosen []Cluster
	for _, name := range names {
		cluster, ok := byName(name)
		if !ok {
			return nil, fmt.Errorf("no cluster is named %q; there are east and west", name)
		}
		chosen = append(chosen, cluster)
	}
	return chosen, nil
}

func byName(name string) (Cluster, bool) {
	for _, cluster := range Clusters() {
		if cluster.Name == name {
			return cluster, true
		}
	}
	return Cluster{}, false
}

func newCluster(name string, host, network int) Cluster {
	return Cluster{
		Name:          name,
		NodeIP:        fmt.Sprintf("10.200.0.%d", host),
		PodSubnet:     fmt.Sprintf("10.%d.0.0/16", network),
		PodGateway:    fmt.Sprintf("10.%d.0.1", network),
		ServiceSubnet: fmt.Sprintf("10.%d.0.0/16", network+1),
		APIServiceIP:  fmt.Sprintf("10.%d.0.1", network+1),
		DNSIP:         fmt.Sprintf("10.%d.0.10", network+1),
		runRoot:       RunRoot(),
		dataRoot:      DataRoot(),
	}
}

const defaultRun = "/run/ferry-lab"

// RunRoot is where the clusters' state lies: configurations, logs, sockets.
func RunRoot() string { return fromEnv("FERRY_LAB_RUN", defaultRun) }

// DataRoot is where the clusters' data lies: volumes, images, pods.
func DataRoot() string { return fromEnv("FERRY_LAB_DATA", "/var/lib/ferry-lab") }

// CacheRoot is where built programs and images are kept.
func CacheRoot() (string, error) {
	if path := os.Getenv("FERRY_CACHE"); path != "" {
		return filepath.Abs(path)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache: %w; set FERRY_CACHE to a folder", err)
	}
	return filepath.Join(home, ".cache", "ferry"), nil
}

func fromEnv(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

// Node is the name of the cluster's one node.
func (c Cluster) Node() string { return c.Name + "-1" }

// NetNS is the name of the cluster's network namespace.
func (c Cluster) NetNS() string { return "ferry-" + c.Name }

// NetNSPath is the file that stands for the network namespace.
func (c Cluster) NetNSPath() string { return "/run/netns/" + c.NetNS() }

// Veth is the bridge's end of the cluster's cable.
func (c Cluster) Veth() string { return "ferry-" + c.Name + "0" }

// Cgroup is the cluster's cgroup in every hierarchy. Cgroups belong to the
// whole machine, and by them processes are known to be a cluster's: a lab with
// its state elsewhere, in a network of its own, has its own.
func (c Cluster) Cgroup() string {
	if c.runRoot == defaultRun {
		return "ferry-lab-" + c.Name
	}
	return fmt.Sprintf("ferry-lab-%x-%s", crc32.ChecksumIEEE([]byte(c.runRoot)), c.Name)
}

// Server is the address of the API server.
func (c Cluster) Server() string { return "https://" + c.NodeIP + ":6443" }

// Run is a path below the cluster's state.
func (c Cluster) Run(parts ...string) string {
	return filepath.Join(append([]string{c.runRoot, c.Name}, parts...)...)
}

// Data is a path below the cluster's data.
func (c Cluster) Data(parts ...string) string {
	return filepath.Join(append([]string{c.dataRoot, c.Name}, parts...)...)
}

// Kubeconfig is the administrator's kubeconfig.
func (c Cluster) Kubeconfig() string { return c.Run("kubeconfig") }

// Log is the log of one component.
func (c Cluster) Log(component string) string { return c.Run("log", component+".log") }

// ContainerdSocket is where containerd listens.
func (c Cluster) ContainerdSocket() string { return c.Run("containerd", "containerd.sock") }

// Kubelet is the kubelet's root directory.
func (c Cluster) Kubelet() string { return c.Data("kubelet") }

// PoolImage is the file that holds the XFS of the drivers' volumes.
func (c Cluster) PoolImage() string { return c.Data("csi", "pool.img") }

// Pool is where that XFS is mounted inside the cluster's mount namespace.
func (c Cluster) Pool() string { return c.Data("csi", "pool") }

// DriverFolder is the folder with the control file of a driver.
func (c Cluster) DriverFolder(driver string) string { return c.Data("csi", driver) }
