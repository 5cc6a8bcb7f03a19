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
	"slices"
	"strings"
	"time"

	"ferry.dev/e2e/cluster/internal/build"
	"ferry.dev/e2e/cluster/internal/scratch"
	"ferry.dev/e2e/cluster/internal/step"
)

// Counts are how many tests of the suite ended how. A test that was skipped and
// is not known not to apply is among the failed ones too.
type Counts struct{ Passed, Failed, Skipped int }

// Run runs the whole suite, prints what it prints, and counts.
func Run(ctx context.Context, programs build.Programs) (counts Counts, err error) {
	folder, err := os.MkdirTemp("", "ferry-sanity-")
	if err != nil {
		return Counts{}, fmt.Errorf("csi-sanity: %w", err)
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(folder)
		}
	}()
	pool, err := scratch.NewPool(ctx, folder)
	if err != nil {
		return Counts{}, fmt.Errorf("csi-sanity needs root, loop devices and XFS: %w", err)
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
		return Counts{}, err
	}
	defer stop()
	err = step.Until(ctx, "the driver", 10*time.Second, log, func() error {
		_, err := os.Stat(socket)
		return err
	})
	if err != nil {
		return Counts{}, err
	}
	late := filepath.Join(folder, "late.sock")
	stopRelay, err := relay(late, socket)
	if err != nil {
		return Counts{}, err
	}
	defer stopRelay()
	counts, err = runSuite(ctx, filepath.Join(programs.Sidecars, "csi-sanity"), folder, late)
	if err != nil {
		return counts, fmt.Errorf("csi-sanity: %w\nthe driver's log is %s", err, log)
	}
	return counts, nil
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

func runSuite(ctx context.Context, program, folder, socket string) (Counts, error) {
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
	fmt.Println() // the suite ends in the middle of a line
	counts, err := readCounts(filepath.Join(folder, "report.json"))
	return counts, errors.Join(suiteErr, err)
}

// spec is one test of the suite's report, or something that runs around them.
type spec struct {
	ContainerHierarchyTexts []string
	LeafNodeType            string
	LeafNodeText            string
	State                   string
}

func (s spec) name() string {
	return strings.Join(append(slices.Clone(s.ContainerHierarchyTexts), s.LeafNodeText), " ")
}

// readCounts counts. A test that was skipped and should have run has failed.
func readCounts(report string) (Counts, error) {
	text, err := os.ReadFile(report)
	if err != nil {
		return Counts{}, err
	}
	var suites []struct{ SpecReports []spec }
	if err := json.Unmarshal(text, &suites); err != nil {
		return Counts{}, fmt.Errorf("read the report: %w", err)
	}
	var counts Counts
	var skipped []string
	for _, suite := range suites {
		for _, spec := range suite.SpecReports {
			switch spec.State {
			case "passed":
				if spec.LeafNodeType == "It" {
					counts.Passed++
				}
			case "skipped", "pending":
				skipped = append(skipped, spec.name())
			default:
				counts.Failed++
			}
		}
	}
	wrong := checkSkips(skipped)
	counts.Failed += len(wrong)
	counts.Skipped = len(skipped)
	if len(wrong) > 0 {
		return counts, fmt.Errorf("tests were skipped:\n  %s", strings.Join(wrong, "\n  "))
	}
	return counts, nil
}
