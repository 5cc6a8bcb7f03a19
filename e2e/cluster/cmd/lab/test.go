package main

import (
	"context"
	"errors"

	"ferry.dev/e2e/cluster/internal/build"
	"ferry.dev/e2e/cluster/internal/machine"
	suite "ferry.dev/e2e/cluster/internal/sanity"
)

// sanity needs neither of the clusters.
func sanity(ctx context.Context, l lab, _ []string) error {
	if err := machine.InstallPackages(ctx, l.report); err != nil {
		return err
	}
	cache, err := build.Open(ctx, l.source, l.report)
	if err != nil {
		return err
	}
	programs, err := cache.Sanity(ctx)
	if err != nil {
		return err
	}
	return suite.Run(ctx, programs)
}

func test(ctx context.Context, l lab, _ []string) error { return errors.New("not yet") }
