package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/manifest"
	"ferry.dev/e2e/cluster/internal/pki"
	"ferry.dev/e2e/cluster/internal/step"
)

// poolSize is what the drivers' volumes can fill. The file is sparse.
const poolSize = 200 << 30

func makeFolders(c layout.Cluster) error {
	folders := []string{
		c.Run("log"), c.Run("pid"), c.Run("pki"), c.Run("config"), c.Run("cni"), c.Run("containerd"),
		c.Data("etcd"), c.Data("containerd"), c.Data("pods"), c.Kubelet(), c.Pool(),
	}
	for _, driver := range manifest.DriverNames() {
		folders = append(folders, c.DriverFolder(driver))
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make folders: %w", err)
		}
	}
	return nil
}

// makePool makes the XFS that the drivers keep volumes on.
func makePool(ctx context.Context, c layout.Cluster) error {
	file, err := os.Create(c.PoolImage())
	if err != nil {
		return fmt.Errorf("make the pool: %w", err)
	}
	defer file.Close()
	if err := file.Truncate(poolSize); err != nil {
		return fmt.Errorf("make the pool: %w", err)
	}
	return step.Run(ctx, "mkfs.xfs", "-q", "-K", "-m", "reflink=1,crc=1", c.PoolImage())
}

// user is somebody who speaks to the API server.
type user struct {
	file   string
	name   string
	groups []string
}

func users(c layout.Cluster) []user {
	return []user{
		{"kubeconfig", "admin", []string{"system:masters"}},
		{"config/kube-controller-manager.kubeconfig", "system:kube-controller-manager", nil},
		{"config/kube-scheduler.kubeconfig", "system:kube-scheduler", nil},
		{"config/kube-proxy.kubeconfig", "system:kube-proxy", nil},
		{"config/kubelet.kubeconfig", "system:node:" + c.Node(), []string{"system:nodes"}},
	}
}

// writeCredentials makes a new authority and everything that it signs.
func writeCredentials(c layout.Cluster) error {
	authority, err := pki.NewAuthority("ferry-lab-" + c.Name)
	if err != nil {
		return err
	}
	root := pki.Pair{Certificate: authority.CertificatePEM, Key: authority.KeyPEM}
	failed := []error{root.Write(c.Run("pki"), "ca")}
	for _, u := range users(c) {
		pair, err := authority.Client(u.name, u.groups...)
		if err != nil {
			return err
		}
		failed = append(failed, authority.WriteKubeconfig(c.Run(u.file), c.Name, c.Server(), pair))
	}
	server, err1 := authority.Server("kube-apiserver", c.NodeIP, c.APIServiceIP, "127.0.0.1", "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc."+layout.Domain)
	kubeletClient, err2 := authority.Client("kube-apiserver-kubelet-client", "system:masters")
	accounts, err3 := authority.Server("service-accounts")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	failed = append(failed, server.Write(c.Run("pki"), "apiserver"),
		kubeletClient.Write(c.Run("pki"), "kubelet-client"), accounts.Write(c.Run("pki"), "service-accounts"))
	return errors.Join(failed...)
}
