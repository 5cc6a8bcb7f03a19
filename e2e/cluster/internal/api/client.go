// Package api speaks to the API server of a cluster: enough to apply
// manifests and to wait for what they lead to.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"sigs.k8s.io/yaml"

	"ferry.dev/e2e/cluster/internal/layout"
)

// Client is an administrator of one cluster.
type Client struct {
	server string
	http   *http.Client
}

// ErrNotFound is returned for an object, or a kind, that the server doesn't have.
var ErrNotFound = errors.New("not found")

// New returns a client that uses the cluster's own kubeconfig.
func New(c layout.Cluster) (*Client, error) {
	text, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("cluster %s is not up: %w", c.Name, err)
	}
	var config kubeconfig
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("read kubeconfig of %s: %w", c.Name, err)
	}
	transport, err := config.tls()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig of %s: %w", c.Name, err)
	}
	return &Client{server: c.Server(), http: &http.Client{Transport: &http.Transport{TLSClientConfig: transport}}}, nil
}

// kubeconfig is the part of a kubeconfig that the lab itself has written.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Authority string `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Certificate string `json:"client-certificate-data"`
			Key         string `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

func (k kubeconfig) tls() (*tls.Config, error) {
	if len(k.Clusters) != 1 || len(k.Users) != 1 {
		return nil, errors.New("not one cluster and one user")
	}
	authority, err1 := base64.StdEncoding.DecodeString(k.Clusters[0].Cluster.Authority)
	certificate, err2 := base64.StdEncoding.DecodeString(k.Users[0].User.Certificate)
	key, err3 := base64.StdEncoding.DecodeString(k.Users[0].User.Key)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// Get reads the object at a path of the API.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	body, err := c.call(ctx, http.MethodGet, path, "", nil)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// Delete removes the object at a path of the API; its finalizers may take a
// while longer.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.call(ctx, http.MethodDelete, path, "", nil)
	return err
}

func (c *Client) call(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch {
	case response.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s %s: %w", method, path, ErrNotFound)
	case response.StatusCode >= 300:
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return text, nil
}
