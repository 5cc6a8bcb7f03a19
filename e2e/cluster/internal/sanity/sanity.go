// Package sanity runs csi-sanity against the storage driver, as a plain
// process on a pool of its own.
package sanity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ferry.dev/e2e/cluster/internal/build"
	"ferry.dev/e2e/cluster/internal/scratch"
	"ferry.dev/e2e/cluster/internal/step"
)

// Run runs the whole suite and prints what it prints.
func Run(ctx context.Context, programs build.Programs) (err error) {
	folder, err := os.MkdirTemp("", "ferry-sanity-")
	if err != nil {
		return fmt.Errorf("csi-sanity: %w", err)
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(folder)
		}
	}()
	pool, err := scratch.NewPool(ctx, folder)
	if err != nil {
		return fmt.Errorf("csi-sanity needs root, loop devices and XFS: %w", err)
	}
	defer func() {
		if removeErr := pool.Remove(); err == nil {
			err = removeErr
		}
	}()
	socket := filepath.Join(folder, "csi.sock")
	log := filepath.Join(folder, "driver.log")
	stop, err := startDriver(filepath.Join(programs.Own, "reflink-csi"), pool.Path, socket, log)
	if err != nil {
		return err
	}
	defer stop()
	err = step.Until(ctx, "the driver", 10*time.Second, log, func() error {
		_, err := os.Stat(socket)
		return err
	})
	if err != nil {
		return err
	}
	late := filepath.Join(folder, "late.sock")
	stopRelay, err := relay(late, socket)
	if err != nil {
		return err
	}
	defer stopRelay()
	if err := runSuite(ctx, filepath.Join(programs.Sidecars, "csi-sanity"), folder, late); err != nil {
		return fmt.Errorf("csi-sanity: %w\nthe driver's log is %s", err, log)
	}
	return nil
}

func startDriver(program, pool, socket, log string) (stop func(), err error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(program, "--node=sanity", "--pool="+pool, "--socket="+socket)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the driver: %w", err)
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}, nil
}

func runSuite(ctx context.Context, program, folder, socket string) error {
	const size, larger = 64 << 20, 128 << 20
	cmd := exec.CommandContext(ctx, program,
		"--csi.endpoint=unix://"+socket,
		"--csi.mountdir="+filepath.Join(folder, "target"),
		"--csi.stagingdir="+filepath.Join(folder, "staging"),
		fmt.Sprintf("--csi.testvolumesize=%d", size),
		fmt.Sprintf("--csi.testvolumeexpandsize=%d", larger),
		"--ginkgo.no-color", "--ginkgo.succinct",
		"--ginkgo.json-report="+filepath.Join(folder, "report.json"))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	suiteErr := cmd.Run()
	return errors.Join(suiteErr, printCounts(filepath.Join(folder, "report.json")))
}

// printCounts prints the outcome in one line that programs can read.
func printCounts(report string) error {
	text, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	var suites []struct{ SpecReports []struct{ State string } }
	if err := json.Unmarshal(text, &suites); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	counts := map[string]int{}
	for _, suite := range suites {
		for _, spec := range suite.SpecReports {
			counts[spec.State]++
		}
	}
	failed := counts["failed"] + counts["panicked"] + counts["timedout"] + counts["aborted"] + counts["interrupted"]
	fmt.Printf("\nsanity: %d passed, %d failed, %d skipped\n", counts["passed"], failed, counts["skipped"]+counts["pending"])
	return nil
}
