package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ferry.dev/e2e/cluster/internal/cluster"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/process"
	"ferry.dev/e2e/cluster/internal/step"
)

func up(ctx context.Context, l lab, names []string) error {
	clusters, err := layout.Named(names)
	if err != nil {
		return err
	}
	if err := cluster.Up(ctx, l.source, clusters, l.report); err != nil {
		return err
	}
	fmt.Printf("\nUse them:\n  eval \"$(%s env)\"\n", filepath.Join(l.source, "lab"))
	for _, c := range clusters {
		fmt.Printf("  kubectl --kubeconfig %s get pods -A\n", c.Kubeconfig())
	}
	return nil
}

func down(ctx context.Context, l lab, arguments []string) error {
	var names []string
	for _, argument := range arguments {
		// Data always goes with a cluster; the word is taken all the same.
		if argument != "--purge" {
			names = append(names, argument)
		}
	}
	clusters, err := layout.Named(names)
	if err != nil {
		return err
	}
	return cluster.Down(ctx, clusters, l.report)
}

func status(ctx context.Context, _ lab, _ []string) error {
	allUp := true
	for _, c := range layout.Clusters() {
		health := cluster.Inspect(ctx, c)
		fmt.Printf("%s: %s\n", c.Name, health)
		allUp = allUp && health.Up()
	}
	if !allUp {
		return errors.New("not all clusters are up")
	}
	return nil
}

func env(context.Context, lab, []string) error {
	root, err := layout.CacheRoot()
	if err != nil {
		return err
	}
	fmt.Printf("export PATH=%q:\"$PATH\"\n", filepath.Join(root, "bin"))
	var kubeconfigs []string
	for _, c := range layout.Clusters() {
		fmt.Printf("export FERRY_%s=%q\n", strings.ToUpper(c.Name), c.Kubeconfig())
		kubeconfigs = append(kubeconfigs, c.Kubeconfig())
	}
	fmt.Printf("export KUBECONFIG=%q\n", strings.Join(kubeconfigs, ":"))
	return nil
}

func load(ctx context.Context, l lab, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("which image? lab load IMAGE.tar [CLUSTER…]")
	}
	clusters, err := layout.Named(arguments[1:])
	if err != nil {
		return err
	}
	var works []func() error
	for _, c := range clusters {
		works = append(works, func() error { return cluster.Load(ctx, c, arguments[0]) })
	}
	return step.Parallel(works...)
}

// enter is for looking at a cluster from inside, and for harming it in ways
// that no API offers.
func enter(ctx context.Context, _ lab, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("which cluster? lab enter CLUSTER [-- COMMAND…]")
	}
	clusters, err := layout.Named(arguments[:1])
	if err != nil {
		return err
	}
	command, err := process.Enter(clusters[0])
	if err != nil {
		return err
	}
	rest := arguments[1:]
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		rest = []string{"bash"}
	}
	command = append(command, rest...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
