package image

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ferry.dev/e2e/cluster/internal/step"
)

// addPackage adds the programs of a Debian package with the libraries they
// load, and installs the package where it is missing.
func addPackage(ctx context.Context, entries map[string]content, name string) error {
	files, err := packageFiles(ctx, name)
	if err != nil {
		return err
	}
	found := 0
	for _, path := range files {
		if !isProgram(path) {
			continue
		}
		if err := addProgram(ctx, entries, path); err != nil {
			return fmt.Errorf("package %s: %w", name, err)
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("package %s has no programs", name)
	}
	return nil
}

func packageFiles(ctx context.Context, name string) ([]string, error) {
	out, err := step.Output(ctx, "dpkg-query", "-L", name)
	if err != nil {
		if err := step.Run(ctx, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends", name); err != nil {
			return nil, err
		}
		if out, err = step.Output(ctx, "dpkg-query", "-L", name); err != nil {
			return nil, err
		}
	}
	return strings.Split(strings.TrimSpace(out), "\n"), nil
}

func isProgram(path string) bool {
	switch filepath.Dir(path) {
	case "/bin", "/sbin", "/usr/bin", "/usr/sbin":
	default:
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// addProgram adds a program and the libraries it loads.
func addProgram(ctx context.Context, entries map[string]content, path string) error {
	if err := addFile(entries, path, path); err != nil {
		return err
	}
	libraries, err := librariesOf(ctx, path)
	if err != nil {
		return err
	}
	for _, library := range libraries {
		if err := addFile(entries, library, library); err != nil {
			return err
		}
	}
	return nil
}

var libraryPath = regexp.MustCompile(`(?m)(?:=> |^\s*)(/\S+) \(0x`)

// librariesOf asks the loader which files it would load. Scripts and static
// programs load none.
func librariesOf(ctx context.Context, path string) ([]string, error) {
	binary, err := elf.Open(path)
	if err != nil {
		return nil, nil
	}
	defer binary.Close()
	if binary.Section(".interp") == nil {
		return nil, nil
	}
	out, err := step.Output(ctx, "ldd", path)
	if err != nil {
		return nil, err
	}
	if strings.Contains(out, "not found") {
		return nil, fmt.Errorf("%s misses libraries:\n%s", path, out)
	}
	var libraries []string
	for _, match := range libraryPath.FindAllStringSubmatch(out, -1) {
		libraries = append(libraries, match[1])
	}
	return libraries, nil
}

// addBusybox adds busybox, and a link to it wherever nothing else has taken
// the name of one of its programs.
func addBusybox(ctx context.Context, entries map[string]content) error {
	const path = "/bin/busybox"
	files, err := packageFiles(ctx, "busybox-static")
	if err != nil {
		return err
	}
	host := ""
	for _, file := range files {
		if filepath.Base(file) == "busybox" && isProgram(file) {
			host = file
		}
	}
	if host == "" {
		return fmt.Errorf("package busybox-static has no busybox")
	}
	if err := addFile(entries, host, path); err != nil {
		return err
	}
	programs, err := step.Output(ctx, host, "--list-full")
	if err != nil {
		return err
	}
	for _, program := range strings.Fields(programs) {
		if _, taken := entries["/"+program]; !taken && "/"+program != path {
			entries["/"+program] = content{link: path, mode: 0o777}
		}
	}
	return nil
}
