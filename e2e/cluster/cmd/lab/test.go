package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"ferry.dev/e2e/cluster/internal/build"
	"ferry.dev/e2e/cluster/internal/machine"
	suite "ferry.dev/e2e/cluster/internal/sanity"
	"ferry.dev/e2e/cluster/internal/selftest"
)

// sanity needs neither of the clusters.
func sanity(ctx context.Context, l lab, _ []string) error {
	counts, err := runSanity(ctx, l)
	fmt.Printf("sanity: %d passed, %d failed, %d skipped\n", counts.Passed, counts.Failed, counts.Skipped)
	return err
}

func runSanity(ctx context.Context, l lab) (suite.Counts, error) {
	if err := machine.InstallPackages(ctx, l.report); err != nil {
		return suite.Counts{}, err
	}
	cache, err := build.Open(ctx, l.source, l.report)
	if err != nil {
		return suite.Counts{}, err
	}
	programs, err := cache.Sanity(ctx)
	if err != nil {
		return suite.Counts{}, err
	}
	return suite.Run(ctx, programs)
}

// test runs all that can be tested without a cluster. Its last line says how
// many tests passed and failed, for programs to read; what could not run has
// failed.
func test(ctx context.Context, l lab, _ []string) error {
	counts, err := runSanity(ctx, l)
	passed, failed := counts.Passed, counts.Failed
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		failed = max(failed, 1)
	}
	var broken []string
	for _, check := range selftest.Checks {
		outcome := check(ctx, l.source)
		passed += outcome.Passed
		failed += len(outcome.Failed)
		broken = append(broken, outcome.Failed...)
	}
	for _, name := range broken {
		fmt.Printf("FAILED %s\n", name)
	}
	fmt.Printf("lab: %d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d failed %s", failed, strings.Join(broken, ", "))
	}
	return nil
}
