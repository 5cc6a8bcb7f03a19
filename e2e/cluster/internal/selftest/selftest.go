// Package selftest runs the lab's own checks and tests and counts them.
package selftest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"ferry.dev/e2e/cluster/internal/step"
)

// Outcome is what came out of some tests.
type Outcome struct {
	Passed int
	// Failed are the names of those that failed or could not run.
	Failed []string
}

// Checks are all checks. Each gets the folder with the lab's go.mod.
var Checks = []func(ctx context.Context, source string) Outcome{formatted, vetted, tested}

func formatted(ctx context.Context, source string) Outcome {
	out, err := step.Output(ctx, "gofmt", "-l", source)
	if err == nil && strings.TrimSpace(out) != "" {
		err = fmt.Errorf("gofmt would change: %s", strings.Join(strings.Fields(out), ", "))
	}
	return single("gofmt", err)
}

// packages are all of the lab's but cmd/kube: to vet it is to vet the whole of
// Kubernetes, and it has nothing in it that the compiler doesn't check.
var packages = []string{"./internal/...", "./cmd/lab", "./cmd/pause", "./cmd/reflink-csi"}

// vetted and tested use the flags with which the lab's programs are built, so
// that Go's own cache serves all three.
func vetted(ctx context.Context, source string) Outcome {
	out, err := goCommand(ctx, source, append([]string{"vet", "-trimpath"}, packages...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return single("go vet", err)
}

func single(name string, err error) Outcome {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return Outcome{Failed: []string{name}}
	}
	return Outcome{Passed: 1}
}

func tested(ctx context.Context, source string) Outcome {
	cmd := goCommand(ctx, source, append([]string{"test", "-trimpath", "-count=1", "-json", "-timeout=5m"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return single("go test", err)
	}
	if err := cmd.Start(); err != nil {
		return single("go test", err)
	}
	outcome := count(bufio.NewScanner(out))
	if err := cmd.Wait(); err != nil && len(outcome.Failed) == 0 {
		return single("go test", err)
	}
	return outcome
}

// event is a line of "go test -json".
type event struct{ Action, Package, Test, Output string }

// count counts tests, and packages that failed without one of their tests
// failing. A test that was skipped has proved nothing: it counts as failed.
func count(lines *bufio.Scanner) Outcome {
	lines.Buffer(nil, 1<<20)
	var outcome Outcome
	said := map[string]*strings.Builder{}
	failedIn := map[string]bool{}
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		name := strings.TrimSuffix(e.Package+" "+e.Test, " ")
		switch {
		case e.Action == "output":
			if said[name] == nil {
				said[name] = &strings.Builder{}
			}
			said[name].WriteString(e.Output)
			continue
		case e.Action == "pass" && e.Test != "":
			outcome.Passed++
		case e.Test != "" && (e.Action == "fail" || e.Action == "skip"),
			e.Test == "" && e.Action == "fail" && !failedIn[e.Package]:
			failedIn[e.Package] = true
			outcome.Failed = append(outcome.Failed, name)
			if text := said[name]; text != nil {
				fmt.Fprintf(os.Stderr, "%s: %s\n%s", name, e.Action, text)
			}
		}
	}
	return outcome
}

func goCommand(ctx context.Context, source string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}
