package cluster

import (
	"context"
	"fmt"
	"time"

	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/process"
	"ferry.dev/e2e/cluster/internal/step"
)

// watchPrograms ends the returned context when a program of the cluster ends,
// with the reason: whoever waits for something then stops waiting at once.
func watchPrograms(ctx context.Context, c layout.Cluster) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
			for _, name := range process.Started(c) {
				if !process.Running(c, name) {
					cancel(fmt.Errorf("%s of %s has ended%s", name, c.Name, step.Tail(c.Log(name))))
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
