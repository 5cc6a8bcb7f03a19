// Package pace measures how fast a cluster brings up pods with volumes: what
// the product's own times can't go below.
package pace

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"ferry.dev/e2e/cluster/internal/api"
)

const (
	namespace = "ferry-lab-pace"
	// limit is how long each step may take.
	limit = 60 * time.Second
	poll  = 10 * time.Millisecond
)

// stopwatch prints each step with its time.
type stopwatch struct {
	out    io.Writer
	client *api.Client
}

// Run measures a few rounds and prints each step. The namespace it works in
// goes away at the end.
func Run(ctx context.Context, client *api.Client, image string, rounds int, out io.Writer) (err error) {
	s := stopwatch{out: out, client: client}
	if err := client.Apply(ctx, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", namespace)); err != nil {
		return err
	}
	defer func() {
		if deleteErr := client.Delete(context.WithoutCancel(ctx), "/api/v1/namespaces/"+namespace); err == nil {
			err = deleteErr
		}
	}()
	if err := s.until(ctx, "/api/v1/namespaces/"+namespace+"/serviceaccounts/default", func(object) bool { return true }); err != nil {
		return err
	}
	for round := range rounds {
		if err := s.round(ctx, round, image); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// round is a pod with a block and a file-system claim, then a snapshot of the
// latter, restored as block for another pod.
func (s stopwatch) round(ctx context.Context, round int, image string) error {
	name := fmt.Sprintf("round-%d", round)
	anyMoment()
	start := time.Now()
	err := s.client.Apply(ctx, claim(name+"-fs", "Filesystem", "")+claim(name+"-block", "Block", "")+
		pod(name, image, volumes{mount: name + "-fs", block: name + "-block"}))
	if err != nil {
		return err
	}
	if err := s.podRuns(ctx, name, "pod with two new volumes", start); err != nil {
		return err
	}
	anyMoment()
	start = time.Now()
	if err := s.client.Apply(ctx, snapshot(name, name+"-fs")); err != nil {
		return err
	}
	path := "/apis/snapshot.storage.k8s.io/v1/namespaces/" + namespace + "/volumesnapshots/" + name
	content := ""
	err = s.until(ctx, path, func(o object) bool { content = o.Status.BoundVolumeSnapshotContentName; return o.Status.ReadyToUse })
	if err != nil {
		return err
	}
	s.say("snapshot ready", start)
	allow := fmt.Sprintf("apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshotContent\nmetadata: {name: %s, annotations: {snapshot.storage.kubernetes.io/allow-volume-mode-change: \"true\"}}\n", content)
	if err := s.client.Apply(ctx, allow); err != nil {
		return err
	}
	restored := name + "-restored"
	if err := s.client.Apply(ctx, claim(restored, "Block", name)+pod(restored, image, volumes{block: restored})); err != nil {
		return err
	}
	return s.podRuns(ctx, restored, "pod on the restored snapshot", start)
}

// anyMoment waits up to a second. The kubelet looks at its containers once a
// second: steps that begin when a pod was just seen running would all take
// whole seconds.
func anyMoment() { time.Sleep(rand.N(time.Second)) }

// podRuns waits for a pod and says when it reached which state.
func (s stopwatch) podRuns(ctx context.Context, name, what string, start time.Time) error {
	path := "/api/v1/namespaces/" + namespace + "/pods/" + name
	if err := s.until(ctx, path, func(o object) bool { return o.Spec.NodeName != "" }); err != nil {
		return err
	}
	s.say(what+": scheduled", start)
	if err := s.until(ctx, path, func(o object) bool { return o.Status.Phase == "Running" }); err != nil {
		return err
	}
	s.say(what+": running", start)
	return nil
}

func (s stopwatch) say(what string, start time.Time) {
	fmt.Fprintf(s.out, "%6.2f s  %s\n", time.Since(start).Seconds(), what)
}

// object is what is looked at of any object.
type object struct {
	Spec   struct{ NodeName string }
	Status struct {
		Phase                          string
		ReadyToUse                     bool
		BoundVolumeSnapshotContentName string
	}
}

// until looks again and again until an object is as wanted.
func (s stopwatch) until(ctx context.Context, path string, wanted func(object) bool) error {
	deadline := time.Now().Add(limit)
	for {
		var o object
		err := s.client.Get(ctx, path, &o)
		if err == nil && wanted(o) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("waited %s for %s: last seen %+v, %v", limit, path, o, err)
		}
		time.Sleep(poll)
	}
}
