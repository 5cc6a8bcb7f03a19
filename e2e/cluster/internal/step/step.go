// Package step runs commands and tells the user what goes on and how long it
// took.
package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Reporter prints lines with the time since the start in front.
type Reporter struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

// NewReporter returns a reporter that prints to out and counts from now.
func NewReporter(out io.Writer) *Reporter {
	return &Reporter{out: out, start: time.Now()}
}

// Say prints one line.
func (r *Reporter) Say(format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%6.1fs  %s\n", time.Since(r.start).Seconds(), fmt.Sprintf(format, arguments...))
}

// Do says what begins, runs it, and says how long it took.
func (r *Reporter) Do(what string, work func() error) error {
	r.Say("%s …", what)
	start := time.Now()
	if err := work(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r.Say("%s: done in %.1f s", what, time.Since(start).Seconds())
	return nil
}

// Run runs a command; its output is part of the error where it fails.
func Run(ctx context.Context, command ...string) error {
	_, err := Output(ctx, command...)
	return err
}

// Output runs a command and returns what it printed to its standard output.
func Output(ctx context.Context, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		said := strings.TrimSpace(complaint.String() + string(out))
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
	}
	return string(out), nil
}

// Parallel runs all works at once and returns all their errors.
func Parallel(works ...func() error) error {
	outcomes := make([]error, len(works))
	var group sync.WaitGroup
	for i, work := range works {
		group.Add(1)
		go func() {
			defer group.Done()
			outcomes[i] = work()
		}()
	}
	group.Wait()
	return errors.Join(outcomes...)
}

// Until tries again and again until it is done or the time is over. The error
// says what was waited for, the last reason why it wasn't there, and the end
// of the log that matters.
func Until(ctx context.Context, what string, limit time.Duration, log string, done func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	const pause = 100 * time.Millisecond
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return fmt.Errorf("while waiting for %s: %w", what, cause)
			}
			return fmt.Errorf("waited %s for %s: %w%s", limit, what, err, Tail(log))
		case <-time.After(pause):
		}
	}
}

// Tail returns the last lines of a log, with a heading.
func Tail(path string) string {
	if path == "" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Sprintf("\n(no log: %v)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	const most = 15
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return fmt.Sprintf("\nend of %s:\n  %s", path, strings.Join(lines, "\n  "))
}
