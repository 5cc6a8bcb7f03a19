package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/step"
)

// WaitServing waits until the API server says that it is ready.
func (c *Client) WaitServing(ctx context.Context, cluster layout.Cluster) error {
	return step.Until(ctx, "the API server of "+cluster.Name, 60*time.Second, cluster.Log("kube-apiserver"), func() error {
		return c.Get(ctx, "/readyz", nil)
	})
}

// WaitNode waits until the cluster's node is ready.
func (c *Client) WaitNode(ctx context.Context, cluster layout.Cluster) error {
	return step.Until(ctx, "node "+cluster.Node(), 60*time.Second, cluster.Log("kubelet"), func() error {
		var node struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := c.Get(ctx, "/api/v1/nodes/"+cluster.Node(), &node); err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				return nil
			}
			if condition.Type == "Ready" {
				return fmt.Errorf("not ready: %s", condition.Message)
			}
		}
		return fmt.Errorf("no condition Ready yet")
	})
}

// WaitWorkload waits until all pods of a Deployment or DaemonSet are of its
// latest version and ready. kind is "deployments" or "daemonsets".
func (c *Client) WaitWorkload(ctx context.Context, cluster layout.Cluster, kind, namespace, name string) error {
	path := fmt.Sprintf("/apis/apps/v1/namespaces/%s/%s/%s", namespace, kind, name)
	return step.Until(ctx, name+" in "+cluster.Name, 120*time.Second, cluster.Log("kubelet"), func() error {
		var w workload
		if err := c.Get(ctx, path, &w); err != nil {
			return err
		}
		return w.complete()
	})
}

// workload is what a Deployment and a DaemonSet say about their pods; each has
// its own half of these fields.
type workload struct {
	Metadata struct{ Generation int64 }
	Status   struct {
		ObservedGeneration int64

		DesiredNumberScheduled, UpdatedNumberScheduled, NumberReady int
		Replicas, UpdatedReplicas, ReadyReplicas                    int
	}
}

func (w workload) complete() error {
	s := w.Status
	if s.ObservedGeneration < w.Metadata.Generation {
		return fmt.Errorf("the last change is not seen yet")
	}
	wanted := s.DesiredNumberScheduled + s.Replicas
	updated, ready := s.UpdatedNumberScheduled+s.UpdatedReplicas, s.NumberReady+s.ReadyReplicas
	if wanted == 0 || updated < wanted || ready < wanted {
		return fmt.Errorf("of %d pods %d are of the latest version, %d are ready", wanted, updated, ready)
	}
	return nil
}

// WaitDrivers waits until the kubelet knows all of these CSI drivers.
func (c *Client) WaitDrivers(ctx context.Context, cluster layout.Cluster, drivers []string) error {
	return step.Until(ctx, "the CSI drivers of "+cluster.Name, 60*time.Second, cluster.Log("kubelet"), func() error {
		var node struct {
			Spec struct {
				Drivers []struct{ Name string }
			}
		}
		if err := c.Get(ctx, "/apis/storage.k8s.io/v1/csinodes/"+cluster.Node(), &node); err != nil {
			return err
		}
		var missing []string
		for _, wanted := range drivers {
			found := false
			for _, driver := range node.Spec.Drivers {
				found = found || driver.Name == wanted
			}
			if !found {
				missing = append(missing, wanted)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("not registered yet: %s", strings.Join(missing, ", "))
		}
		return nil
	})
}

// WaitServiceAccount waits for the account that pods of a namespace run as;
// pods are refused before it is there.
func (c *Client) WaitServiceAccount(ctx context.Context, cluster layout.Cluster, namespace string) error {
	return step.Until(ctx, "the default service account of "+namespace, 30*time.Second, cluster.Log("kube-controller-manager"), func() error {
		return c.Get(ctx, "/api/v1/namespaces/"+namespace+"/serviceaccounts/default", nil)
	})
}

// Image is the lab's image that the cluster runs: that of its first driver.
func (c *Client) Image(ctx context.Context) (string, error) {
	var sets struct {
		Items []struct {
			Spec struct{ Template podTemplate }
		}
	}
	if err := c.Get(ctx, "/apis/apps/v1/namespaces/"+layout.Namespace+"/daemonsets", &sets); err != nil {
		return "", err
	}
	for _, set := range sets.Items {
		for _, container := range set.Spec.Template.Spec.Containers {
			return container.Image, nil
		}
	}
	return "", fmt.Errorf("no storage driver in namespace %s", layout.Namespace)
}

type podTemplate struct {
	Spec struct{ Containers []struct{ Image string } }
}
