package pki

import (
	"encoding/base64"
	"fmt"
	"os"
)

// WriteKubeconfig writes a kubeconfig for one user of one cluster.
func (a *Authority) WriteKubeconfig(path, cluster, server string, user Pair) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s}
current-context: %[1]s
`, cluster, server, base64.StdEncoding.EncodeToString(a.CertificatePEM),
		base64.StdEncoding.EncodeToString(user.Certificate), base64.StdEncoding.EncodeToString(user.Key))
	return os.WriteFile(path, []byte(text), 0o600)
}
