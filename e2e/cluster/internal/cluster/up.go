// Package cluster brings the clusters up, takes them down and says how they
// are.
package cluster

import (
	"context"
	"errors"
	"fmt"

	"ferry.dev/e2e/cluster/internal/api"
	"ferry.dev/e2e/cluster/internal/build"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/machine"
	"ferry.dev/e2e/cluster/internal/manifest"
	"ferry.dev/e2e/cluster/internal/network"
	"ferry.dev/e2e/cluster/internal/process"
	"ferry.dev/e2e/cluster/internal/step"
)

// lifter brings clusters up.
type lifter struct {
	report   *step.Reporter
	programs build.Programs
	archives archives
}

// Up brings the clusters up. In one that is up already only what has changed
// since is exchanged; one that is half up is taken down first.
func Up(ctx context.Context, source string, clusters []layout.Cluster, report *step.Reporter) error {
	if err := machine.Check(ctx); err != nil {
		return err
	}
	if err := machine.InstallPackages(ctx, report); err != nil {
		return err
	}
	cache, err := build.Open(ctx, source, report)
	if err != nil {
		return err
	}
	programs, err := cache.All(ctx)
	if err != nil {
		return err
	}
	l := lifter{report: report, programs: programs}
	if l.archives, err = ensureArchives(ctx, programs, report); err != nil {
		return err
	}
	if err := network.EnsureBridge(ctx); err != nil {
		return err
	}
	var works []func() error
	for _, c := range clusters {
		works = append(works, func() error { return l.lift(ctx, c) })
	}
	return step.Parallel(works...)
}

// lift brings one cluster up.
func (l lifter) lift(ctx context.Context, c layout.Cluster) error {
	unlock, err := lock(c, l.report)
	if err != nil {
		return err
	}
	defer unlock()
	if health := Inspect(ctx, c); health.Up() {
		return l.renew(ctx, c)
	} else if !health.Down() {
		l.report.Say("%s is half up; taking it down first", c.Name)
		if err := lower(ctx, c); err != nil {
			return err
		}
	}
	if err := l.start(ctx, c); err != nil {
		return fmt.Errorf("cluster %s: %w\nlogs: %s", c.Name, err, c.Run("log"))
	}
	l.report.Say("%s is up", c.Name)
	made, err := l.recipe(c)
	if err != nil {
		return err
	}
	return writeRecipe(c, made)
}

func (l lifter) start(ctx context.Context, c layout.Cluster) error {
	if err := l.prepare(ctx, c); err != nil {
		return err
	}
	ctx, stop := watchPrograms(ctx, c)
	defer stop()
	if err := startPrograms(c, l.servers(c)); err != nil {
		return err
	}
	client, err := api.New(c)
	if err != nil {
		return err
	}
	err = step.Parallel(
		func() error { return l.loadArchives(ctx, c) },
		func() error { return client.WaitServing(ctx, c) },
	)
	if err != nil {
		return err
	}
	l.report.Say("%s: the API server is ready", c.Name)
	if err := startPrograms(c, l.clients(c)); err != nil {
		return err
	}
	return l.install(ctx, c, client)
}

// prepare makes everything that the programs find when they start.
func (l lifter) prepare(ctx context.Context, c layout.Cluster) error {
	if err := makeFolders(c); err != nil {
		return err
	}
	if err := writeCredentials(c); err != nil {
		return err
	}
	if err := writeConfigs(c); err != nil {
		return err
	}
	if err := makePool(ctx, c); err != nil {
		return err
	}
	if err := process.MakeCgroups(c); err != nil {
		return err
	}
	if err := network.Connect(ctx, c); err != nil {
		return err
	}
	return process.Hold(c)
}

func startPrograms(c layout.Cluster, programs []program) error {
	var failed []error
	for _, p := range programs {
		failed = append(failed, process.Start(c, p.name, p.command...))
	}
	return errors.Join(failed...)
}

// install applies the manifests and waits for what they lead to.
func (l lifter) install(ctx context.Context, c layout.Cluster, client *api.Client) error {
	if err := l.applyAll(ctx, c, client, makeCertificate); err != nil {
		return err
	}
	if err := client.WaitNode(ctx, c); err != nil {
		return err
	}
	l.report.Say("%s: the node is ready", c.Name)
	return waitInstalled(ctx, c, client)
}

// waitInstalled waits for everything that was applied.
func waitInstalled(ctx context.Context, c layout.Cluster, client *api.Client) error {
	works := []func() error{
		func() error { return client.WaitServiceAccount(ctx, c, "default") },
		func() error { return client.WaitWorkload(ctx, c, "deployments", "kube-system", "coredns") },
		func() error { return client.WaitWorkload(ctx, c, "deployments", "kube-system", "snapshot-controller") },
		func() error { return client.WaitDrivers(ctx, c, manifest.DriverNames()) },
	}
	for _, driver := range manifest.Drivers {
		works = append(works, func() error {
			return client.WaitWorkload(ctx, c, "daemonsets", layout.Namespace, driver.Short)
		})
	}
	return step.Parallel(works...)
}
