package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ferry.dev/e2e/cluster/internal/faults"
	"ferry.dev/e2e/cluster/internal/layout"
	"ferry.dev/e2e/cluster/internal/manifest"
)

// fault writes the control file of a driver, whole or not at all.
func fault(_ context.Context, _ lab, arguments []string) error {
	if len(arguments) != 3 {
		return errors.New("lab fault CLUSTER DRIVER JSON|clear")
	}
	clusters, err := layout.Named(arguments[:1])
	if err != nil {
		return err
	}
	driver, err := driverNamed(arguments[1])
	if err != nil {
		return err
	}
	folder := clusters[0].DriverFolder(driver)
	path := filepath.Join(folder, "faults.json")
	if arguments[2] == "clear" {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := faults.Check([]byte(arguments[2])); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(arguments[2]), 0o644); err != nil {
		return fmt.Errorf("is the cluster up? %w", err)
	}
	return os.Rename(path+".new", path)
}

func driverNamed(name string) (string, error) {
	for _, driver := range manifest.Drivers {
		if name == driver.Name || name == driver.Short {
			return driver.Name, nil
		}
	}
	return "", fmt.Errorf("no driver is named %q; there are %v", name, manifest.DriverNames())
}
