package cluster

import (
	"context"
	"os"
	"strings"
	"time"

	"ferry.dev/e2e/cluster/internal/api"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/process"
)

// Health is how a cluster is.
type Health struct {
	// Stopped are programs of the cluster that don't run.
	Stopped []string
	// Serving is nil where the API server answers.
	Serving error
	// Complete is set where the cluster came up to the end.
	Complete bool
	// Leftovers are what is there of the cluster.
	Leftovers []string
}

// Up tells whether the cluster is up and complete.
func (h Health) Up() bool { return h.Complete && h.Serving == nil && len(h.Stopped) == 0 }

// Down tells whether there is nothing of the cluster.
func (h Health) Down() bool { return len(h.Leftovers) == 0 }

// String says it in one line.
func (h Health) String() string {
	switch {
	case h.Up():
		return "up"
	case h.Down():
		return "down"
	case len(h.Stopped) > 0:
		return "half up: " + strings.Join(h.Stopped, ", ") + " not running"
	case h.Serving != nil:
		return "half up: the API server doesn't answer: " + h.Serving.Error()
	}
	return "half up: 'up' did not come to its end"
}

// Inspect looks how a cluster is.
func Inspect(ctx context.Context, c layout.Cluster) Health {
	health := Health{Leftovers: leftovers(c)}
	if health.Down() {
		return health
	}
	for _, name := range []string{"etcd", "containerd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"} {
		if !process.Running(c, name) {
			health.Stopped = append(health.Stopped, name)
		}
	}
	_, err := os.Stat(completeMark(c))
	health.Complete = err == nil
	health.Serving = serving(ctx, c)
	return health
}

func serving(ctx context.Context, c layout.Cluster) error {
	client, err := api.New(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return client.Get(ctx, "/readyz", nil)
}
